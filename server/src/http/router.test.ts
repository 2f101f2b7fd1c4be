import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { ApiClient } from '../../test/harness/api-client.ts';
import { Rows } from '../../test/harness/rows.ts';
import { serveRoutes } from '../../test/harness/serve-routes.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { AppError } from '../errors.ts';
import { defineRoute, type RouteContext } from './route.ts';

// What the framework promises about every route, shown with routes that do what none of ours may.

const server = await startTestServer();
const rows = await Rows.open(server.database);

type Context = RouteContext<unknown, unknown, unknown>;
let handler: (context: Context) => Promise<{ status?: number; body?: unknown; version?: number }>;
const effects: string[] = [];

const common = {
  permission: 'gatelodge.issuers:read',
  summary: 'For the tests of the router',
  responses: {
    200: {
      description: 'ok',
      schema: z.object({ data: z.object({ id: z.string(), tag: z.string().optional() }) }),
    },
    204: { description: 'gone' },
  },
  handler: (context: Context) => handler(context),
} as const;
const served = await serveRoutes(server.running.services, [
  defineRoute({ ...common, method: 'GET', path: '/v1/probe', operationId: 'probes.get' }),
  defineRoute({
    ...common,
    method: 'POST',
    path: '/v1/probe',
    operationId: 'probes.create',
    creates: true,
    body: z.strictObject({ name: z.string() }),
  }),
]);
const api = new ApiClient(served.url, server.operator.key);

afterAll(async () => {
  await served.close();
  await rows.close();
  await server.close();
});
beforeEach(() => {
  effects.length = 0;
  handler = async () => ({ body: { data: { id: 'x' } } });
});

const rename = ({ tx, principal }: Context, name: string) =>
  tx.updateTable('accounts').set({ name }).where('id', '=', principal.accountId).execute();
const tell = ({ record, principal }: Context) =>
  record({
    type: 'account.updated',
    subject: { type: 'account', id: principal.accountId },
    environment: 'live',
  });

describe('an answer', () => {
  test('has what its schema declares and nothing else', async () => {
    // The attack: none needed. A column that somebody adds to a table must not become public by itself.
    handler = async () => ({
      body: {
        data: { id: 'x', digest: 'secret', nested: { secret: 1 } },
        account: { secret: 'y' },
        secret_plain: 'z',
      },
    });
    expect((await api.get('/v1/probe')).text).toBe('{"data":{"id":"x"}}');
  });

  test('that lacks what its schema declares is an error that says nothing', async () => {
    handler = async () => ({ body: { data: { secret: 'canary' } } });
    const answer = await api.get('/v1/probe');
    expect([answer.status, answer.body.code]).toEqual([500, 'internal_error']);
    expect(answer.text).not.toContain('canary');
  });

  test('of a status that is not declared is an error, and its change is not made', async () => {
    const before = await rows.snapshot();
    handler = async (context) => {
      await rename(context, 'changed');
      await tell(context);
      return { status: 202, body: { data: { id: 'x' } } };
    };
    expect((await api.get('/v1/probe')).status).toBe(500);
    expect(server.logLines.join('')).toContain('probes.get declares no 202');
    expect(await rows.snapshot()).toEqual(before);
  });

  test('without content has none, and no type of it', async () => {
    handler = async () => ({ status: 204, body: { data: { id: 'x' } } });
    const answer = await api.get('/v1/probe');
    expect([answer.status, answer.text]).toEqual([204, '']);
    expect(answer.headers.get('Content-Type')).toBeNull();
  });

  test('carries its version as a strong ETag, its request and environment, and is kept by nobody', async () => {
    handler = async () => ({ body: { data: { id: 'x' } }, version: 7 });
    const { headers } = await api.get('/v1/probe', { 'X-Request-Id': 'mine-1' });
    expect(headers.get('ETag')).toBe('"7"');
    expect(headers.get('X-Environment')).toBe('LIVE');
    expect(headers.get('Cache-Control')).toBe('no-store');
  });
});

describe('a failing handler', () => {
  test('is an error that says nothing of what went wrong, which stands in the log', async () => {
    // The attack: errors that carry statements, values or secrets out of the house.
    handler = async () => {
      throw new Error('canary of the cause');
    };
    const answer = await api.get('/v1/probe');
    expect([answer.status, answer.body.code]).toEqual([500, 'internal_error']);
    expect(answer.text).not.toContain('canary');
    const logged = server.logLines.find((line) => line.includes('canary of the cause'));
    expect(JSON.parse(logged!)).toMatchObject({ request_id: answer.body.request_id });
  });

  test('leaves nothing of its change, and its effects do not come about', async () => {
    const before = await rows.snapshot();
    handler = async (context) => {
      await rename(context, 'changed');
      await tell(context);
      context.afterCommit(() => effects.push('ran'));
      throw new AppError('conflict');
    };
    expect((await api.post('/v1/probe', { name: 'x' })).status).toBe(409);
    expect(await rows.snapshot()).toEqual(before);
    expect(effects).toEqual([]);
  });

  test('that swallows the error of a statement commits nothing', async () => {
    // Postgres answers the commit of a failed transaction with success; taken at its word, a change would be lost
    // with a 200.
    const before = await rows.snapshot();
    handler = async (context) => {
      await rename(context, 'changed');
      await context.tx
        .insertInto('events')
        .values({ id: 'evt_bad' } as never)
        .execute()
        .catch(() => {});
      return { body: { data: { id: 'x' } } };
    };
    expect((await api.get('/v1/probe')).status).toBe(500);
    expect(await rows.snapshot()).toEqual(before);
  });
});

describe('a handler', () => {
  test('sees its effects run after the commit and before the answer', async () => {
    handler = async (context) => {
      await rename(context, 'committed');
      await tell(context);
      context.afterCommit(() => effects.push('first'));
      context.afterCommit(() => effects.push('second'));
      expect(effects).toEqual([]);
      return { body: { data: { id: 'x' } } };
    };
    const { result: answer, events } = await rows.eventsOf(() => api.get('/v1/probe'));
    expect(answer.status).toBe(200);
    expect(effects).toEqual(['first', 'second']);
    expect(events.map(({ type }) => type)).toEqual(['account.updated']);
  });

  test('writes events that say who did it, from where and in which request', async () => {
    handler = async (context) => {
      await tell(context);
      return { body: { data: { id: 'x' } } };
    };
    const { events } = await rows.eventsOf(() =>
      api.get('/v1/probe', { 'X-Request-Id': 'mine-2', 'User-Agent': 'tests/1.0' }),
    );
    expect(events).toMatchObject([
      {
        account_id: server.operator.accountId,
        actor: { type: 'api_key', id: server.operator.key.id, ip: '127.0.0.1', user_agent: 'tests/1.0' },
        request_id: 'mine-2',
      },
    ]);
  });

  test('sees the rows of its caller’s account alone', async () => {
    await server.operator.api.create('/v1/accounts', { name: 'other', owner_email: 'x@acme.test' });
    let seen: string[] = [];
    handler = async ({ tx }) => {
      const accounts = await tx.selectFrom('accounts').select('id').execute();
      seen = accounts.map(({ id }) => id);
      return { body: { data: { id: 'x' } } };
    };
    await api.get('/v1/probe');
    expect(seen).toEqual([server.operator.accountId]);
    expect(await rows.count('accounts')).toBe(2);
  });

  test('is not reached by who may not call, nor by a body or query that its schemas refuse', async () => {
    let isReached = false;
    handler = async () => {
      isReached = true;
      return { body: { data: { id: 'x' } } };
    };
    expect((await api.as(null).get('/v1/probe')).status).toBe(401);
    expect((await api.as(server.demo.key).get('/v1/probe')).status).toBe(403);
    expect((await api.post('/v1/probe', { name: 1 })).status).toBe(422);
    expect((await api.get('/v1/probe?x=1')).status).toBe(422);
    expect((await api.request('POST', '/v1/probe', { rawBody: '{' })).status).toBe(400);
    expect(isReached).toBe(false);
  });

  test('need not fear a HEAD: it is a GET without its content', async () => {
    const answer = await api.request('HEAD', '/v1/probe');
    expect([answer.status, answer.text, answer.headers.get('X-Environment')]).toEqual([200, '', 'LIVE']);
    expect((await api.as(null).request('HEAD', '/v1/probe')).status).toBe(401);
  });
});
