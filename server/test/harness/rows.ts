import pg from 'pg';
import type { TestDatabase } from './database.ts';

const tenantTables = [
  'accounts',
  'account_members',
  'support_grants',
  'plans',
  'issuers',
  'key_profiles',
  'signing_keys',
  'organizations',
  'clients',
  'client_secrets',
  'users',
  'groups',
  'memberships',
  'group_memberships',
  'departed_organizations',
  'departed_groups',
  'login_settings',
  'sessions',
  'refresh_tokens',
  'oidc_records',
  'oidc_consents',
  'oidc_settings',
  'api_keys',
  'events',
  'idempotency_records',
] as const;

/** Which rows are not taken away at any moment: what is over is swept, and so is what deleted organizations and groups left. */
function thatStay(table: (typeof tenantTables)[number]): string {
  const ofNoneDeparted = 'not exists (select from departed_organizations d where d.id = t.organization_id)';
  switch (table) {
    case 'departed_organizations':
    case 'departed_groups':
      return 'false';
    case 'oidc_records':
      // Codes and interactions last minutes.
      return "t.expires_at > now() + interval '3 hours'";
    case 'groups':
    case 'memberships':
    case 'api_keys':
      return ofNoneDeparted;
    case 'group_memberships':
      return `${ofNoneDeparted} and not exists (select from departed_groups d where d.id = t.group_id)`;
    default:
      return 'true';
  }
}

/** An event as it stands in the table. */
export interface EventRow {
  id: string;
  account_id: string;
  type: string;
  issuer_id: string | null;
  organization_id: string | null;
  environment: string;
  actor: { type: string; id: string; ip: string | null; user_agent: string | null };
  subject_type: string;
  subject_id: string;
  request_id: string | null;
  data: Record<string, unknown>;
}

/** Looks into the tables of a test's database past row-level security, and changes what no request could. */
export class Rows {
  readonly #client: pg.Client;

  static async open(database: TestDatabase): Promise<Rows> {
    const client = new pg.Client({ connectionString: database.superuserUrl });
    // The database is dropped with whoever is still connected.
    client.on('error', () => {});
    await client.connect();
    await client.query('set search_path = gatelodge');
    return new Rows(client);
  }

  private constructor(client: pg.Client) {
    this.#client = client;
  }

  async query<Row extends pg.QueryResultRow>(sql: string, values: unknown[] = []): Promise<Row[]> {
    const { rows } = await this.#client.query<Row>(sql, values);
    return rows;
  }

  async count(table: (typeof tenantTables)[number]): Promise<number> {
    const [row] = await this.query<{ count: number }>(`select count(*)::int as count from ${table}`);
    return row!.count;
  }

  /** The content of every tenant table in few words: equal before and after, nothing has changed. */
  async snapshot(): Promise<Record<string, string>> {
    const parts = tenantTables.map(
      (
        name,
      ) => `(select count(*) || ' rows ' || coalesce(md5(string_agg(md5(t::text), '' order by md5(t::text))), '')
        from ${name} t where ${thatStay(name)}) as ${name}`,
    );
    const [row] = await this.query<Record<string, string>>(`select ${parts.join(', ')}`);
    return row!;
  }

  /** The events that came to be while `work` ran, in all accounts, oldest first. */
  async eventsOf<T>(work: () => Promise<T>): Promise<{ result: T; events: EventRow[] }> {
    const known = await this.query<{ id: string }>('select id from events');
    const result = await work();
    const events = await this.query<EventRow>('select * from events where id <> all ($1) order by id', [
      known.map(({ id }) => id),
    ]);
    return { result, events };
  }

  close(): Promise<void> {
    return this.#client.end();
  }
}
