import { describe, expect, test } from 'vitest';
import { TestIssuer } from '../../harness/test-issuer.ts';
import { type GatewayWorld, identityOf, page } from '../gateway-world.ts';

/** Only Gatelodge says who is calling. */
export function describeForgedIdentity(world: GatewayWorld): void {
  const { ask, of, start, valuesSeen } = world;

  describe('an identity that comes from outside', () => {
    // Attack: the client writes the headers by which the upstream knows its tenants, in every spelling that some
    // application takes for the real name.
    const spellings = [
      'X-Gatelodge-Organization-Id',
      'x-gatelodge-organization-id',
      'x_gatelodge_organization_id',
      'X_Gatelodge_Organization_Id',
      'x-gatelodge_organization-id',
      'X_GATELODGE-ORGANIZATION_ID',
      'x-gatelodge-organization_id',
      'X-Gatelodge-Warnings',
      'X-Gatelodge-Scopes',
      'X_Gatelodge_Scopes',
      'X!Gatelodge-Organization-Id',
      'X.gatelodge.organization.id',
      'X-_Gatelodge-Organization-Id',
      ...(world.kind.stripsByName === true
        ? []
        : ['X--Gatelodge-Organization-Id', 'X-Gatelodge', 'X-Gatelodge-Other']),
    ];

    test.each(spellings)('never reaches the upstream of a checked request: %s', async (name) => {
      expect((await ask({ ...of('acme'), [name]: 'org_forged' })).status).toBe(200);
      expect(JSON.stringify(world.upstream.last().headers)).not.toContain('org_forged');
      expect(valuesSeen('x-gatelodge-organization-id')).toEqual([world.tenants.acme.id]);
    });

    test.each(spellings)('never reaches the upstream of a preflight: %s', async (name) => {
      const headers = { Origin: page, 'Access-Control-Request-Method': 'GET', [name]: 'org_forged' };
      expect((await ask(headers, '/echo', { method: 'OPTIONS' })).status).toBe(200);
      expect(JSON.stringify(world.upstream.last().headers)).not.toContain('org_forged');
    });

    test('never reaches the upstream twice over', async () => {
      const name = 'X-Gatelodge-Organization-Id';
      expect((await ask({ ...of('acme'), [name]: ['org_forged', 'org_forged'] })).status).toBe(200);
      expect(valuesSeen(name.toLowerCase())).toEqual([world.tenants.acme.id]);
    });

    test('of no tenant is not filled in for a key without one', async () => {
      const own = await TestIssuer.create(world.server);
      const via = await start({ issuerId: own.id });
      const { secret } = await own.createKey();
      const answer = await ask(
        { 'X-API-Key': secret, 'X-Gatelodge-Organization-Id': 'org_forged' },
        '/echo',
        {},
        via,
      );
      expect(answer.status).toBe(200);
      expect(valuesSeen('x-gatelodge-organization-id').join('')).toBe('');
    });

    test('is not what decides: without a key it is refused', async () => {
      const before = world.upstream.seen.length;
      expect((await ask({ ...identityOf(world.tenants.acme.id) }, '/v1/subscriptions')).status).toBe(401);
      expect(world.upstream.seen).toHaveLength(before);
    });
  });
}
