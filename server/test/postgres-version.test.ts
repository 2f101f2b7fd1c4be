import { afterAll, expect, test } from 'vitest';
import { findBinariesPackage } from '../src/supervisor/binaries.ts';
import { createTestDatabase } from './harness/database.ts';
import { Rows } from './harness/rows.ts';

const database = await createTestDatabase();
const rows = await Rows.open(database);
afterAll(async () => {
  await rows.close();
  await database.drop();
});

test('the tests run on the Postgres that they are told to run on', async () => {
  const [row] = await rows.query('show server_version');
  const wanted = process.env.GATELODGE_TEST_POSTGRES || (await findBinariesPackage()).version;
  expect(row!.server_version.split('.')[0]).toBe(wanted.split('.')[0]);
});
