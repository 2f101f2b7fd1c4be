import type { Gatelodge } from './gatelodge.ts';

/** An issuer with stored keys, and the secrets of those that the benchmark uses. */
export interface StockedIssuer {
  id: string;
  secrets: string[];
}

/** More than any benchmark uses, so that each request is counted in two windows and none is refused. */
const plan = {
  name: 'bench',
  limits: {
    live: [
      { name: 'hour', limit: 1_000_000_000, window: 'hour' },
      { name: 'day', limit: 10_000_000_000, window: 'day' },
    ],
    sandbox: [],
  },
};

const creationsAtOnce = 8;

/** Makes an issuer whose organizations, as many as asked for, are on a plan with limits, and fills it with keys. */
export async function stockIssuer(
  gatelodge: Gatelodge,
  stock: { keys: number; hot: number; organizations: number },
): Promise<StockedIssuer> {
  const { id } = await gatelodge.create<{ id: string }>('/v1/issuers', { name: 'Bench' });
  await makePlan(gatelodge);
  let begun = 0;
  const makeOrganizations = async () => {
    while (begun < stock.organizations) {
      // Names of one length, so that every answer has as many bytes as the floor's.
      const name = `tenant ${String(begun++).padStart(6, '0')}`;
      await gatelodge.create(`/v1/issuers/${id}/organizations`, { name, plan: plan.name });
    }
  };
  await Promise.all(Array.from({ length: creationsAtOnce }, makeOrganizations));
  // Else every key that is stored is checked by reading through the organizations, of which Postgres knows nothing yet.
  await gatelodge.postgres.query('vacuum analyze gatelodge.organizations');
  return { id, secrets: await addKeys(gatelodge, id, stock.keys, stock.hot) };
}

/** Makes so many issuers that nobody has asked about; answers their ids. */
export async function createIssuers(gatelodge: Gatelodge, count: number): Promise<string[]> {
  const ids: string[] = [];
  let begun = 0;
  const make = async () => {
    while (begun++ < count) {
      const { id } = await gatelodge.create<{ id: string }>('/v1/issuers', { name: 'Bench' });
      ids.push(id);
    }
  };
  await Promise.all(Array.from({ length: creationsAtOnce }, make));
  await gatelodge.postgres.query('vacuum analyze gatelodge.issuers, gatelodge.signing_keys');
  return ids;
}

/** Stores more keys in an issuer, and leaves the table as a vacuum does that has had time; answers the hot ones' secrets. */
export async function addKeys(
  gatelodge: Gatelodge,
  issuerId: string,
  keys: number,
  hot: number,
): Promise<string[]> {
  const secrets = await gatelodge.generateKeys(issuerId, keys, hot);
  await gatelodge.postgres.query('vacuum analyze gatelodge.api_keys');
  await gatelodge.postgres.query('checkpoint');
  return secrets;
}

const plansOf = new WeakMap<Gatelodge, Promise<unknown>>();

/** Once for each installation. */
function makePlan(gatelodge: Gatelodge): Promise<unknown> {
  const made = plansOf.get(gatelodge) ?? gatelodge.create('/v1/plans', plan);
  plansOf.set(gatelodge, made);
  return made;
}
