import fc from 'fast-check';
import { expect, test } from 'vitest';
import { level, limit, limiterAt } from '../limits/fixtures/levels.ts';
import type { Decision } from './decide.ts';
import { acme, issuerKey } from './fixtures/records.ts';
import { decidedBody } from './verify-answer.ts';

test('an answer is JSON of what it was given, whatever characters stand in it', () => {
  const text = fc.string({ unit: 'binary' });
  fc.assert(
    fc.property(
      fc.record({ name: text, external: fc.option(text), organization: text, requestId: text }),
      fc.dictionary(text, fc.jsonValue()),
      fc.array(text),
      fc.boolean(),
      ({ name, external, organization: organizationName, requestId }, metadata, scopes, hasOwner) => {
        const organization = hasOwner ? { ...acme, externalId: external, name: organizationName } : null;
        const key = { ...issuerKey, name, metadata: JSON.parse(JSON.stringify(metadata)) };
        const decision: Decision = { valid: true, organization, scopes, warnings: [] };
        const { limiter } = limiterAt('2026-11-21T12:00:00Z');
        const quota = { credits: 5, sinceSeconds: 1, refill: null };
        const levels = [level('key', 'key_1', [limit(3, 'hour')], { quota })];
        const limits = limiter.admit({ accountId: 'acc_1', levels });
        const body = decidedBody(key, decision, 'VALID', { requestId, warnings: ['stale'], limits });
        expect(JSON.parse(body)).toEqual(
          JSON.parse(
            JSON.stringify({
              valid: true,
              code: 'VALID',
              request_id: requestId,
              key: { id: key.id, name, kind: 'secret', metadata, expires_at: null },
              account_id: 'acc_1',
              issuer_id: 'i_1',
              organization: organization && {
                id: organization.id,
                external_id: external,
                name: organizationName,
              },
              environment: 'live',
              scopes,
              limits: [
                {
                  name: 'hour',
                  level: 'key',
                  limit: 3,
                  remaining: 2,
                  reset: Date.parse('2026-11-21T13:00:00Z') / 1000,
                  exceeded: false,
                },
                { name: 'quota', level: 'key', limit: 5, remaining: 4, reset: null, exceeded: false },
              ],
              warnings: ['stale'],
            }),
          ),
        );
      },
    ),
  );
});
