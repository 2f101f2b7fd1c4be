import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer, TestClock, type TestServer } from '../../test/harness/server.ts';
import { succeeded } from '../../test/harness/test-issuer.ts';
import { rotateDueSigningKeys } from './rotation-job.ts';

const clock = new TestClock();
const server = await startTestServer({ clock });
const other = await startTestServer({ clock, nodeOf: server });
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await other.close();
  await server.close();
});
const { api } = await createCustomer(server);
const daySeconds = 86_400;
const leadSeconds = 930;

let issuer: { id: string; path: string };
beforeEach(async () => {
  const { id } = await api.create('/v1/issuers', { name: 'Acme API' });
  issuer = { id, path: `/v1/issuers/${id}/signing-keys` };
});

const jobOf = ({ running }: TestServer) => {
  const { database, secrets, settings, log } = running.services;
  return { database, secrets, settings, log, now: () => clock.now() };
};

/** As the jobs of both nodes do at the same moment, until nothing is left. */
async function runAll(): Promise<void> {
  for (let round = 0; round < 20; round++) {
    const more = await Promise.all([server, other].map((node) => rotateDueSigningKeys(jobOf(node))));
    if (!more.includes(true)) return;
  }
  throw new Error('the job finds something to do for ever');
}

const keys = async () => (await api.get(issuer.path)).body.data;

describe('a key that has signed for 90 days', () => {
  test('gets one successor of its algorithm, however many nodes look for it, and is told of once', async () => {
    await api.create(`${issuer.path}/rotate`, { algorithm: 'EdDSA' });
    clock.advance(leadSeconds);
    await runAll();
    expect((await keys()).length).toBe(2);
    clock.advance(90 * daySeconds - 1);
    await runAll();
    // What had ended before is gone, and nothing has come.
    const [current, ...none] = await keys();
    expect(none).toEqual([]);
    clock.advance(1);
    const { events } = await rows.eventsOf(runAll);
    const [upcoming, former, ...more] = await keys();
    expect(more).toEqual([]);
    expect(former.id).toBe(current.id);
    expect(upcoming).toMatchObject({ status: 'upcoming', algorithm: 'EdDSA' });
    const ofIssuer = events.filter((event) => event.issuer_id === issuer.id);
    expect(ofIssuer).toMatchObject(
      ['signing-key.rotated', 'signing-key.created'].map((type) => ({
        type,
        actor: { type: 'system', id: 'signing-key-rotation' },
      })),
    );
    await runAll();
    expect((await keys()).length).toBe(2);
  });

  test('of a suspended issuer is rotated as well, of a deleted one never', async () => {
    const deleted = await api.create('/v1/issuers', { name: 'deleted' });
    await rows.query('update issuers set deleting = true where id = $1', [deleted.id]);
    succeeded(await api.post(`/v1/issuers/${issuer.id}/suspend`));
    clock.advance(90 * daySeconds);
    const { events } = await rows.eventsOf(runAll);
    expect(events.filter((event) => event.issuer_id === deleted.id)).toEqual([]);
    expect((await keys()).length).toBe(2);
  });
});

test('an issuer that an older build has made gets its first key, once', async () => {
  await rows.query('delete from signing_keys where issuer_id = $1', [issuer.id]);
  const { events } = await rows.eventsOf(runAll);
  expect(events.filter((event) => event.issuer_id === issuer.id)).toMatchObject([
    { type: 'signing-key.created', actor: { type: 'system', id: 'signing-keys' } },
  ]);
  expect(await keys()).toMatchObject([{ status: 'current', algorithm: 'ES256' }]);
});

test('one issuer whose keys can’t be seen to keeps no other from its rotation', async () => {
  const stuck = await api.create('/v1/issuers', { name: 'stuck' });
  await rows.query(
    `create function refuse() returns trigger language plpgsql as $$ begin raise 'stuck'; end $$`,
  );
  await rows.query(
    `create trigger refuse before insert on signing_keys for each row
      when (new.issuer_id = '${stuck.id}') execute function refuse()`,
  );
  clock.advance(90 * daySeconds);
  await runAll();
  expect((await keys()).length).toBe(2);
  expect((await api.get(`/v1/issuers/${stuck.id}/signing-keys`)).body.data.length).toBe(1);
  expect(server.logLines.concat(other.logLines).join('')).toContain(stuck.id);
  await rows.query('drop trigger refuse on signing_keys');
  await runAll();
  expect((await api.get(`/v1/issuers/${stuck.id}/signing-keys`)).body.data.length).toBe(2);
});
