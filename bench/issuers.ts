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
  const issuer = await gatelodge.create<{ id: string }>('/v1/issuers', { name: 'Bench' });
  const { id } = issuer!;
  const planName = await makePlan(gatelodge);
  let begun = 0;
  const makeOrganizations = async () => {
    while (begun < stock.organizations) {
      // Names of one length, so that every answer has as many bytes as the floor's.
      const name = `tenant ${String(begun++).padStart(6, '0')}`;
      await gatelodge.create(`/v1/issuers/${id}/organizations`, { name, plan: planName });
    }
  };
  await Promise.all(Array.from({ length: creationsAtOnce }, makeOrganizations));
  return { id, secrets: await addKeys(gatelodge, id, stock.keys, stock.hot) };
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

const plansOf = new WeakMap<Gatelodge, Promise<string | null>>();

/** Once for each installation. Answers null where this build has no plans. */
function makePlan(gatelodge: Gatelodge): Promise<string | null> {
  let made = plansOf.get(gatelodge);
  if (made === undefined) {
    made = gatelodge
      .create('/v1/plans', plan)
      .then((created) => (created === null ? insertPlan(gatelodge) : plan.name));
    plansOf.set(gatelodge, made);
  }
  return made;
}

/** For a build that has plans, but not yet the calls to make them. */
async function insertPlan({ postgres }: Gatelodge): Promise<string | null> {
  const [found] = await postgres.query<{ plans: string | null }>(
    `select to_regclass('gatelodge.plans') as plans`,
  );
  if (found!.plans === null) {
    process.stderr.write('This build has no plans: the keys have no limits.\n');
    return null;
  }
  await postgres.query(
    `insert into gatelodge.plans (account_id, name, limits) select id, $1, $2 from gatelodge.accounts`,
    [plan.name, JSON.stringify(plan.limits)],
  );
  return plan.name;
}
