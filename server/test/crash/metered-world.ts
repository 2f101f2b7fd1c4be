import { randomUUID } from 'node:crypto';
import type { ApiClient } from '../harness/api-client.ts';
import { createCustomer } from '../harness/customer.ts';
import { succeeded, TestIssuer } from '../harness/test-issuer.ts';
import type { Case } from './metered-load.ts';

/** How much there is of what runs out. */
export interface Sizes {
  tenantMonth: number;
  keyMonth: number;
  credits: number;
}

/** A customer's account with limits at every level, and keys of it whose requests come to different ends. */
export interface MeteredWorld {
  readonly api: ApiClient;
  /** The key that asks, and the issuer whose keys it asks about. */
  readonly caller: { id: string; secret: string };
  readonly issuer: TestIssuer;
  readonly cases: readonly Case[];
  /** The limits that last for the whole run, by their names. */
  readonly lasting: Readonly<Record<string, number>>;
}

const plenty = 10_000_000;
const monthly = (name: string, limit: number) => ({
  limits: { live: [{ name, limit, window: 'month' }], sandbox: [] },
});

/** Makes it, as the operator and the customer would. */
export async function makeMeteredWorld(
  url: string,
  operator: ApiClient,
  { tenantMonth, keyMonth, credits }: Sizes,
): Promise<MeteredWorld> {
  const plan = `customer-${randomUUID()}`;
  await operator.create('/v1/plans', { name: plan, ...monthly('account-month', plenty) });
  const { api, key: caller } = await createCustomer({ operator: { api: operator } }, { plan });
  await api.create('/v1/plans', { name: 'issuer', ...monthly('issuer-month', plenty) });
  await api.create('/v1/plans', { name: 'tenant', ...monthly('tenant-month', tenantMonth) });
  const server = { url, operator: { api: operator } };
  const issuer = await TestIssuer.create(server, {}, { plan: 'issuer' }, api);
  const tenant = await issuer.createOrganization({ plan: 'tenant', external_id: 'tenant' });
  const other = await issuer.createOrganization({ external_id: 'other' });

  const shared = ['account-month', 'issuer-month'];
  const cases: Case[] = [];
  const add = async (
    key: Record<string, unknown>,
    codes: readonly string[],
    {
      asked = {},
      organization,
      limits = [],
    }: { asked?: Record<string, unknown>; organization?: string; limits?: string[] } = {},
  ) => {
    const { id, secret, path } = await issuer.createKey(key, organization);
    const cost = (asked.cost as number | undefined) ?? 1;
    const made: Case = {
      keyId: id,
      keyPath: path,
      body: { key: secret, ...asked },
      codes,
      cost,
      limits: [...shared, ...limits],
    };
    cases.push(made);
    return made;
  };

  await add({}, ['VALID']);
  await add({}, ['VALID'], { asked: { cost: 3 } });
  await add({}, ['INSUFFICIENT_SCOPE'], { asked: { scopes: ['invoices:read'] } });
  await add({ restrictions: { ips: ['192.0.2.0/24'] } }, ['IP_NOT_ALLOWED'], {
    asked: { ip: '198.51.100.1' },
  });
  await add({}, ['TENANT_MISMATCH'], { asked: { tenant: 'other' }, organization: tenant.id });
  const origins = { kind: 'publishable', restrictions: { origins: ['https://app.example.com'] } };
  const page = await add(origins, ['ORIGIN_NOT_ALLOWED'], { asked: { origin: 'https://evil.example' } });
  // The same key from the right page.
  cases.push({ ...page, body: { ...page.body, origin: 'https://app.example.com' }, codes: ['VALID'] });
  const revoked = await add({}, ['REVOKED']);
  succeeded(await api.post(`${revoked.keyPath}/revoke`));
  const limited = ['VALID', 'RATE_LIMITED'];
  // Two keys that use up one tenant's limit, at different prices.
  await add({}, limited, { organization: tenant.id, limits: ['tenant-month'] });
  await add({}, limited, { organization: tenant.id, limits: ['tenant-month'], asked: { cost: 2 } });
  const own = [{ name: 'key-month', limit: keyMonth, window: 'month' }];
  await add({ limits: own }, limited, { organization: other.id, limits: ['key-month'] });
  const passing = [
    { name: 'key-second', limit: 20, window: 'second' },
    { name: 'key-minute', limit: 400, window: 'minute' },
  ];
  await add({ limits: passing }, limited);
  await add({ quota: { credits, refill: null } }, ['VALID', 'QUOTA_EXCEEDED'], { limits: ['quota'] });

  const lasting = {
    'account-month': plenty,
    'issuer-month': plenty,
    'tenant-month': tenantMonth,
    'key-month': keyMonth,
    quota: credits,
  };
  return { api, caller, issuer, cases, lasting };
}
