import { describe, expect, test } from 'vitest';
import { exchange } from '../../harness/raw-http.ts';
import { TestIssuer } from '../../harness/test-issuer.ts';
import { contractOf, type GatewayWorld, identityOf, page, type RequestHeaders } from '../gateway-world.ts';
import type { Behaviour } from '../stand-in.ts';

/** What a refusal of Gatelodge is to the client of a gateway. */
export function describeRefusals(world: GatewayWorld): void {
  const { ask, start, of, bothAnswers, valuesSeen, namesSeen } = world;

  describe('a refusal reaches the client as Gatelodge says it, and the upstream not at all:', () => {
    const pageOf = (key: string, origin: string): RequestHeaders => ({ ...of(key), Origin: origin });
    test.each<[name: string, status: number, headers: () => RequestHeaders, path?: string]>([
      ['missing key', 401, () => ({ 'x-tn': 'tenant_acme' })],
      ['empty key', 401, () => ({ 'x-api-key': '', 'x-tn': 'tenant_acme' })],
      ['unknown key', 401, () => of('unknown')],
      ['revoked key', 401, () => of('revoked')],
      [
        'two keys',
        401,
        () => ({ 'x-api-key': [world.keys.acme!, world.keys.globex!], 'x-tn': 'tenant_acme' }),
      ],
      ['key in the address', 401, () => of('acme'), '/echo?api_key=sk_live_x'],
      ['no tenant', 403, () => ({ 'x-api-key': world.keys.acme! })],
      ['wrong tenant', 403, () => of('acme', 'tenant_globex')],
      [
        'two tenants',
        403,
        () => ({ 'x-api-key': world.keys.acme!, 'x-tn': ['tenant_acme', 'tenant_globex'] }),
      ],
      ['suspended tenant', 403, () => of('suspended', 'tenant_suspended')],
      ['wrong origin', 403, () => pageOf('acme page', 'https://evil.example')],
      ['secret key from a page', 403, () => pageOf('acme', page)],
      [
        'secret key from a page by Sec-Fetch-Site',
        403,
        () => ({ ...of('acme'), 'Sec-Fetch-Site': 'cross-site' }),
      ],
      ['wrong tenant from a page', 403, () => ({ ...pageOf('acme page', page), 'x-tn': 'tenant_globex' })],
      ['wrong address', 403, () => of('acme from elsewhere')],
    ])('%s', async (_name, status, headers, path) => {
      const before = world.upstream.seen.length;
      const { direct, answer } = await bothAnswers(headers(), path === undefined ? {} : { path });
      expect(answer.status).toBe(status);
      expect(contractOf(answer)).toEqual(contractOf(direct));
      expect(Object.keys(answer.headers).filter((name) => name.startsWith('x-gatelodge'))).toEqual([]);
      expect(answer.headerNames.filter((name) => /^vary$/i.test(name))).toHaveLength(1);
      expect(world.upstream.seen).toHaveLength(before);
    });

    test('scope missing, which the address of the check demands', async () => {
      const demands = 'scope=subscriptions:read';
      const via = await start({ demands });
      const { direct, answer } = await bothAnswers(of('acme without scopes'), { via, demands });
      expect(answer.body.error.code).toBe('insufficient_scope');
      expect(contractOf(answer)).toEqual(contractOf(direct));
      expect((await ask(of('acme'), '/echo', {}, via)).status).toBe(200);
    });

    test('a request with a body, of which nothing becomes a request of its own', async () => {
      // Attack: the body of a refused request is a request that the gateway takes for the next one.
      const before = world.upstream.seen.length;
      const inner = `GET /echo/inner HTTP/1.1\r\nHost: x\r\nx-api-key: ${world.keys.acme}\r\nx-tn: tenant_acme\r\n\r\n`;
      const { host } = new URL(world.gateway.url);
      const text = await exchange(
        world.gateway.url,
        `POST /echo HTTP/1.1\r\nHost: ${host}\r\nContent-Length: ${inner.length}\r\n\r\n${inner}` +
          `GET /echo HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`,
      );
      expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 401', 'HTTP/1.1 401']);
      expect(world.upstream.seen).toHaveLength(before);
    });

    test.each([
      [
        'flat',
        'otp',
        'X-OTP-API-Key',
        '{"error":"Missing API key","code":"UNAUTHORIZED"}',
        'application/json',
      ],
      ['problem', 'standard', 'X-API-Key', null, 'application/problem+json'],
    ])('in the dialect %s', async (_dialect, preset, keyHeader, body, contentType) => {
      const own = await TestIssuer.create(world.server, { preset });
      const via = await start({ issuerId: own.id, keyHeader });
      const { direct, answer } = await bothAnswers({}, { via, of: own });
      expect(contractOf(answer)).toEqual(contractOf(direct));
      expect(answer.headers['content-type']).toBe(contentType);
      if (body !== null) expect(answer.text).toBe(body);
      const { secret } = await own.createKey();
      expect((await ask({ [keyHeader]: secret }, '/echo', {}, via)).status).toBe(200);
      expect(namesSeen()).not.toContain(keyHeader.toLowerCase());
      // A JWT is the application's own; a key is not.
      const jwt = 'Bearer eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ1In0.c2ln';
      await ask({ [keyHeader]: secret, Authorization: jwt }, '/echo', {}, via);
      expect(valuesSeen('authorization')).toEqual([jwt]);
      if (preset === 'otp') {
        // To this profile Authorization is nothing. Spaces and tabs are the same to many who read it.
        for (const before of ['Bearer ', 'bearer  ', 'Bearer\t', 'Bearer \t', '\tBearer ', ' \t bearer\t']) {
          const headers = { [keyHeader]: secret, Authorization: `${before}${secret}` };
          expect([before, (await ask(headers, '/echo', {}, via)).status]).toEqual([before, 200]);
          expect([before, valuesSeen('authorization').join('')]).toEqual([before, '']);
        }
      }
      if (preset === 'standard') {
        expect((await ask({ Authorization: `Bearer ${secret}` }, '/echo', {}, via)).status).toBe(200);
        expect(valuesSeen('authorization').join('')).toBe('');
      }
    });
  });

  test('a refusal stays what it is where the connection to Gatelodge had just been closed', async () => {
    // The gateway asks again then, and nginx counts the attempt before: the status is “502, 401”.
    const body = '{"error":{"code":"invalid_key","message":"Invalid API key","type":"authentication_error"}}';
    const headers = { 'Content-Type': 'application/json', 'WWW-Authenticate': 'Bearer' };
    const refused: Behaviour = { answers: 401, headers, body, onlyOnFreshConnections: true };
    const allowed: Behaviour = {
      answers: 200,
      // What has no body leaves a connection behind that serves again.
      headers: { ...identityOf('org_a'), 'Content-Length': '0' },
      onlyOnFreshConnections: true,
    };
    for (let round = 1; round <= 3; round++) {
      world.standIn.behaviour = allowed;
      for (let time = 1; time <= 2; time++) {
        expect((await ask(of('acme'), '/echo', {}, world.withStandIn)).status).toBe(200);
        expect(valuesSeen('x-gatelodge-organization-id')).toEqual(['org_a']);
      }
      world.standIn.behaviour = refused;
      const answer = await ask(of('unknown'), '/echo', {}, world.withStandIn);
      expect([round, answer.status, answer.text]).toEqual([round, 401, body]);
      expect(answer.headers['www-authenticate']).toBe('Bearer');
    }
  });
}
