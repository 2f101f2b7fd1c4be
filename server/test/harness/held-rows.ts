import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { TestDatabase } from './database.ts';

/** Any number that no lock of the service has. */
const lockId = 4_711;

/** Holds up what is written of OIDC records, or of a user, so that something else can happen meanwhile. */
export class HeldRows {
  readonly #client: pg.Client;
  #isHeld = false;

  static async open(database: TestDatabase): Promise<HeldRows> {
    const client = new pg.Client({ connectionString: database.superuserUrl });
    // The database is dropped with whoever is still connected.
    client.on('error', () => {});
    await client.connect();
    await client.query('set search_path = gatelodge, public');
    await client.query(`
      create function hold_record() returns trigger language plpgsql as $$
      begin
        if new.model = tg_argv[0] and new.user_id is not null then
          if tg_argv[1] = 'fail' then raise exception 'too slow' using errcode = 'query_canceled'; end if;
          perform pg_advisory_xact_lock(${lockId});
        end if;
        return new;
      end $$`);
    return new HeldRows(client);
  }

  private constructor(client: pg.Client) {
    this.#client = client;
  }

  /** Whoever writes a record of this model for a user waits until `release`. */
  async hold(model: string): Promise<void> {
    await this.#begin(model, 'wait');
    await this.#client.query('select pg_advisory_lock($1)', [lockId]);
  }

  /** Whoever would keep this user from being changed waits until `release`. */
  holdUser(userId: string): Promise<void> {
    return this.holdRow('users', userId);
  }

  /** Whoever would change this row, or keep it from being changed, waits until `release`. */
  async holdRow(table: 'users' | 'issuers' | 'organizations', id: string): Promise<void> {
    this.#isHeld = true;
    await this.#client.query('begin');
    await this.#client.query(`select from ${table} where id = $1 for update`, [id]);
  }

  /** Whoever writes a record of this model for a user fails, as where it takes too long, until `release`. */
  fail(model: string): Promise<void> {
    return this.#begin(model, 'fail');
  }

  /** Resolves once so many statements of the database wait for a lock. */
  async waiting(count: number): Promise<void> {
    for (let attempt = 0; attempt < 500; attempt++) {
      // Else a transaction is told again what its first look has shown.
      await this.#client.query('select pg_stat_clear_snapshot()');
      const { rows } = await this.#client.query(
        `select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`,
      );
      if (rows.length >= count) return;
      await sleep(20);
    }
    throw new Error(`no ${count} statements wait`);
  }

  async release(): Promise<void> {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    await this.#client.query('rollback');
    await this.#client.query('select pg_advisory_unlock_all()');
    await this.#client.query('drop trigger if exists hold_record on oidc_records');
  }

  close(): Promise<void> {
    return this.#client.end();
  }

  async #begin(model: string, how: 'wait' | 'fail'): Promise<void> {
    this.#isHeld = true;
    await this.#client.query(
      `create trigger hold_record before insert or update on oidc_records
         for each row execute function hold_record('${model}', '${how}')`,
    );
  }
}
