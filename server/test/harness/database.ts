import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { inject } from 'vitest';
import { databasePlaceholder, templateDatabase } from './global-setup.ts';

/** A database of one test file's own, on the run's Postgres. */
export type TestDatabase = {
  readonly name: string;
  /** Of `gatelodge_app`, as the service connects. */
  readonly appUrl: string;
  /** Of `gatelodge_owner`, which owns the schema and is no superuser. */
  readonly ownerUrl: string;
  readonly superuserUrl: string;
  /** Removes it, cutting whoever is still connected. */
  drop(): Promise<void>;
};

/**
 * Makes a migrated database in some tens of milliseconds, or an empty one.
 *
 * Copied as files (FILE_COPY): the checkpoints that this takes are cheap where nothing waits for the disk, and half of
 * the time goes.
 */
export async function createTestDatabase(options: { isEmpty?: boolean } = {}): Promise<TestDatabase> {
  const name = `test_${randomBytes(6).toString('hex')}`;
  const template = options.isEmpty ? 'template0' : templateDatabase;
  await asSuperuser(`create database ${name} owner gatelodge_owner template ${template} strategy file_copy`);
  const urls = inject('postgres');
  const inDatabase = (url: string) => url.replace(databasePlaceholder, name);
  return {
    name,
    appUrl: inDatabase(urls.appUrl),
    ownerUrl: inDatabase(urls.ownerUrl),
    superuserUrl: inDatabase(urls.superuserUrl),
    drop: () => asSuperuser(`drop database if exists ${name} with (force)`),
  };
}

/** Runs one statement as superuser in the database `postgres`: what concerns the whole server. */
export async function asSuperuser(sql: string): Promise<void> {
  const connectionString = inject('postgres').superuserUrl.replace(databasePlaceholder, 'postgres');
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
