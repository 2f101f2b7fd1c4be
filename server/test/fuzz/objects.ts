import type { Customer } from '../harness/customer.ts';
import { alwaysThere } from '../harness/management-routes.ts';
import { OidcBrowser } from '../harness/oidc-browser.ts';
import { OidcClient } from '../harness/oidc-client.ts';
import type { Operation } from '../harness/openapi.ts';
import { waitFor } from '../harness/process.ts';
import type { TestServer } from '../harness/server.ts';
import { signIn } from '../harness/sign-in.ts';
import { everyPermission } from '../harness/tenant.ts';
import { createKey, TestIssuer, type TestKey } from '../harness/test-issuer.ts';

/** Who makes the objects, and where. */
export interface Maker {
  readonly server: TestServer;
  readonly customer: Customer;
}

/** An issuer and what is below it, as the requests of a fuzz run need it. */
export interface FuzzObjects {
  /** By the names that the paths of operations have for them. */
  readonly ids: Record<string, string>;
  readonly keys: {
    readonly account: TestKey;
    readonly issuer: TestKey;
    readonly organization: TestKey;
    /** Of the issuer as well: the one that verifies. */
    readonly verifying: TestKey;
  };
  /** A client of the issuer and the token of a user that has signed in with it, for the operations of OIDC. */
  client?: OidcClient;
  clientToken?: string;
  accessToken?: string;
  /** What has been made beside the issuer, its organization, its user and the keys. */
  readonly parts: Set<Part>;
}

type Part = (maker: Maker, objects: FuzzObjects) => Promise<void>;

/** Makes another issuer, keys at every level, and whatever else the requests of an operation are about. */
export async function makeObjects(maker: Maker, operation: Operation): Promise<FuzzObjects> {
  const { api } = maker.customer;
  const issuer = await api.create('/v1/issuers', { name: 'Acme API', publishable_scopes: ['catalog:read'] });
  const path = `/v1/issuers/${issuer.id}`;
  const organization = await api.create(`${path}/organizations`, { name: 'Tenant', external_id: 'tenant' });
  const user = await api.create(`${path}/users`, { username: 'fuzz@example.com' });
  const restrictions = { scopes: [...everyPermission, 'invoices:read'] };
  const keyAt = (level: string) => createKey(api, `${level}/api-keys`, { restrictions });
  const objects: FuzzObjects = {
    ids: { issuer_id: issuer.id, org_id: organization.id, user_id: user.id, ...alwaysThere },
    keys: {
      account: await keyAt('/v1'),
      issuer: await keyAt(path),
      organization: await keyAt(`${path}/organizations/${organization.id}`),
      verifying: await keyAt(path),
    },
    parts: new Set(),
  };
  await completeObjects(maker, objects, operation);
  return objects;
}

/** Makes what the requests of an operation are about and is not there yet. */
export async function completeObjects(
  maker: Maker,
  objects: FuzzObjects,
  operation: Operation,
): Promise<void> {
  for (const make of partsFor(operation)) {
    if (objects.parts.has(make)) continue;
    await make(maker, objects);
    objects.parts.add(make);
  }
}

/** Few for each: making them is most of what a run in CI takes. */
function partsFor({ path, operationId }: Operation): Part[] {
  const isNamed = (name: string) => path.includes(`{${name}}`);
  const parts: [boolean, Part][] = [
    [path.endsWith('/sandbox-mailbox'), twin],
    [isNamed('mail_id'), mail],
    [isNamed('member_id') || isNamed('group_id'), member],
    [isNamed('client_id'), client],
    [/^(?:oidc|login)\./.test(operationId), signedInClient],
    [isNamed('session_id') || /auth\.(me|refresh|logout)$/.test(operationId), session],
    [isNamed('signing_key_id'), signingKey],
    [isNamed('grant_id'), supportGrant],
    [isNamed('plan_name'), plan],
    [isNamed('account_id'), account],
  ];
  return parts.filter(([isNeeded]) => isNeeded).map(([, part]) => part);
}

const issuerPath = ({ ids }: FuzzObjects) => `/v1/issuers/${ids.issuer_id}`;

const twin: Part = async ({ customer: { api } }, objects) => {
  objects.ids.twin_id = (await api.create(`${issuerPath(objects)}/sandbox-issuer`)).id;
};

/** A mail that is in the mailbox of the server. */
const mail: Part = async ({ server, customer }, { ids }) => {
  const { database, mails, devMailbox, clock } = server.running.services;
  const issuerId = ids.issuer_id!;
  const to = `${issuerId}@example.com`;
  await database.withAccount(customer.id, (tx) =>
    mails.queue(tx, {
      accountId: customer.id,
      issuerId,
      environment: 'live',
      mail: { to, subject: 'fuzz', text: 'fuzz', html: '<p>fuzz</p>', senderName: null },
      notAfterMs: clock.nowMs() + 600_000,
      subject: { type: 'issuer', id: issuerId },
    }),
  );
  mails.wake();
  ids.mail_id = await waitFor(() => devMailbox?.list(to)[0]?.id);
};

const member: Part = async ({ customer: { api } }, objects) => {
  const { ids } = objects;
  const organization = `${issuerPath(objects)}/organizations/${ids.org_id}`;
  const user = await api.create(`${issuerPath(objects)}/users`, { username: 'member@example.com' });
  const group = await api.create(`${organization}/groups`, { name: 'Accounting', scopes: ['reports:read'] });
  await api.create(`${organization}/members`, {
    member_id: user.id,
    scopes: ['invoices:read'],
    groups: [group.id],
  });
  Object.assign(ids, { member_id: user.id, group_id: group.id });
};

const client: Part = async ({ customer: { api } }, objects) => {
  const settings = { openid: { redirect_uris: ['https://fuzz.example.com/callback'] } };
  objects.ids.client_id = (await api.create(`${issuerPath(objects)}/clients`, { name: 'fuzz', settings })).id;
};

const signedInClient: Part = async ({ server, customer: { api } }, objects) => {
  const { issuer_id, user_id } = objects.ids;
  await api.patch(`${issuerPath(objects)}/oidc-settings`, {
    device_flow: true,
    dpop: true,
    registration: 'open',
    registration_quota: 10_000,
  });
  const grant_types = [
    'authorization_code',
    'client_credentials',
    'urn:ietf:params:oauth:grant-type:device_code',
  ];
  objects.client = await OidcClient.create(server, new TestIssuer(server.url, api, issuer_id!), {
    settings: { scopes: ['openid', 'reports:read'] },
    openid: { grant_types },
  });
  const browser = new OidcBrowser(server);
  const tokens = await objects.client.signIn(browser, { userId: user_id! }, { scope: 'openid' });
  objects.clientToken = tokens.access_token;
};

const session: Part = async ({ server }, objects) => {
  const { token, session_id } = await signIn(server, objects.ids.issuer_id!, objects.ids.user_id!);
  objects.accessToken = token;
  objects.ids.session_id = session_id;
};

const signingKey: Part = async ({ customer: { api } }, objects) => {
  const { body } = await api.get(`${issuerPath(objects)}/signing-keys`);
  objects.ids.signing_key_id = body.data[0].id;
};

const supportGrant: Part = async ({ customer: { api } }, { ids }) => {
  ids.grant_id = (await api.create('/v1/account/support-grants', { reason: 'fuzz' })).id;
};

const plan: Part = async ({ customer: { api } }, { ids }) => {
  ids.plan_name = (await api.create('/v1/plans', { name: `plan-${ids.user_id}` })).name;
};

const account: Part = async ({ server }, { ids }) => {
  const owner = { name: 'Globex Corporation', owner_email: 'owner@globex.example' };
  ids.account_id = (await server.operator.api.create('/v1/accounts', owner)).id;
};
