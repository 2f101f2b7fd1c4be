import { expect } from 'vitest';
import type { ApiClient } from '../harness/api-client.ts';
import { createCustomer } from '../harness/customer.ts';
import { claimsOf } from '../harness/oidc-client.ts';
import { newAddress } from '../harness/otp-client.ts';
import { freePort } from '../harness/process.ts';
import { startTestServer, type TestServer } from '../harness/server.ts';
import { succeeded, TestIssuer } from '../harness/test-issuer.ts';
import { snippetOf } from './packages.ts';

/** What a relying party is registered as. */
export interface Registered {
  readonly id: string;
  readonly secret: string;
}

export interface PartyUser {
  readonly id: string;
  readonly address: string;
}

/** A Gatelodge with an issuer and an organization, whose members sign in to relying parties. */
export class PartyWorld implements AsyncDisposable {
  readonly server: TestServer;
  readonly api: ApiClient;
  readonly issuer: TestIssuer;
  readonly issuerUrl: string;
  /** Of every user, as tokens have it. */
  readonly membership: { org_id: string; name: string; scopes: readonly string[] };

  static async open(): Promise<PartyWorld> {
    const port = await freePort();
    const server = await startTestServer({
      env: {
        GATELODGE_PORT: String(port),
        // Another host than that of the relying parties: cookies know no ports.
        GATELODGE_PUBLIC_URL: `http://localhost:${port}`,
        GATELODGE_OUTBOUND_ALLOW: '127.0.0.1/32',
      },
    });
    const { api } = await createCustomer(server);
    const issuer = await TestIssuer.create(server, {}, {}, api);
    const organization = await issuer.createOrganization({ name: 'Analytical Engines' });
    const membership = {
      org_id: organization.id,
      name: organization.name,
      scopes: ['invoices:read', 'invoices:write'],
    };
    return new PartyWorld({ server, api, issuer, membership });
  }

  private constructor(made: Pick<PartyWorld, 'server' | 'api' | 'issuer' | 'membership'>) {
    this.server = made.server;
    this.api = made.api;
    this.issuer = made.issuer;
    this.membership = made.membership;
    this.issuerUrl = `${made.server.running.services.settings.publicUrl}/${made.issuer.id}`;
  }

  /**
   * Registers a relying party by the body that the guide has for it.
   *
   * @param appUrl where it is instead of https://app.example.com
   * @param openid members of `settings.openid` that the test needs beside the guide's
   */
  async register(name: string, appUrl: string, openid: object = {}): Promise<Registered> {
    const body = JSON.parse(await snippetOf(`${name} client`, { 'https://app.example.com': appUrl }));
    Object.assign(body.settings.openid, openid);
    const { id, secret } = await this.api.create(`${this.issuer.path}/clients`, body);
    return { id, secret: secret ?? '' };
  }

  /** `active` while the session of a token is, as the management API has it; else why it is not. */
  async sessionOf(token: string): Promise<string> {
    const { sid } = claimsOf(token);
    const { body } = succeeded(await this.api.get(`${this.issuer.path}/sessions/${sid}`));
    return body.data.status === 'active' ? 'active' : body.data.end_reason;
  }

  /** A member of the organization. Codes are sent to an address once a minute, so each sign-in has a user of its own. */
  async newUser(): Promise<PartyUser> {
    const address = newAddress('ada');
    const { id } = await this.api.create(`${this.issuer.path}/users`, {
      username: address,
      profile: { first_name: 'Ada', last_name: 'Lovelace' },
    });
    const { org_id: organizationId, scopes } = this.membership;
    const members = `${this.issuer.path}/organizations/${organizationId}/members`;
    await this.api.create(members, { member_id: id, scopes });
    return { id, address };
  }

  /** What every token and userinfo answer says of a user. */
  expectClaims(claims: unknown, user: PartyUser): void {
    expect(claims).toMatchObject({ sub: user.id, organizations: [this.membership] });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.close();
  }
}
