import type { InteractionResult, RecordPayload } from 'oidc-provider';
import { newRecordDigest, recordDigests } from './record-digests.ts';
import { openRecord, sealRecord } from './record-seal.ts';
import type { FoundRecord, RecordScope, RecordValues } from './record-store.ts';
import type { IssuerRuntime } from './runtime.ts';

/** What belongs to a session of a client, and is worth nothing without it. */
export const modelsOfSessions: ReadonlySet<string> = new Set([
  'AuthorizationCode',
  'RefreshToken',
  'DeviceCode',
]);

/** Between what the library keeps of one model and the rows of it: ids become digests, and what is said is sealed. */
export class RecordCodec {
  readonly model: string;
  readonly scope: RecordScope;
  readonly #runtime: IssuerRuntime;

  constructor(model: string, runtime: IssuerRuntime) {
    this.model = model;
    this.scope = { accountId: runtime.issuer.account.id, issuerId: runtime.issuer.id, model };
    this.#runtime = runtime;
  }

  /** Under which a record of this id may stand. */
  digestsOf(id: string, model = this.model): Buffer[] {
    return recordDigests(this.#runtime.secrets, { issuerId: this.scope.issuerId, model }, id);
  }

  /** What a row says. */
  open(row: Pick<FoundRecord, 'digest' | 'secret_generation' | 'sealed' | 'expires_at' | 'consumed_at'>) {
    const place = { issuerId: this.scope.issuerId, model: this.model, digest: row.digest };
    const payload = openRecord(this.#runtime.secrets, place, row.secret_generation, row.sealed);
    if (row.consumed_at !== null) payload.consumed = epochOf(row.consumed_at);
    // A grant lasts longer than was thought when it was written.
    if (this.model === 'Grant') payload.exp = epochOf(row.expires_at);
    return payload;
  }

  /** The row of a record. */
  valuesOf(id: string, payload: RecordPayload, expiresAt: Date): RecordValues {
    const { secrets } = this.#runtime;
    const { issuerId } = this.scope;
    const { digest, generation } = newRecordDigest(secrets, this.scope, id);
    const place = { issuerId, model: this.model, digest };
    const isOfSession = modelsOfSessions.has(this.model) && payload.accountId !== undefined;
    return {
      digest,
      secret_generation: generation,
      sealed: sealRecord(secrets, place, generation, payload),
      user_code:
        payload.userCode === undefined
          ? null
          : newRecordDigest(secrets, { issuerId, model: 'user-code' }, payload.userCode).digest,
      login_uid: this.model === 'Session' ? (payload.uid ?? null) : null,
      grant_id: payload.grantId ?? null,
      session_id: isOfSession ? (payload.sid ?? null) : null,
      user_id: userOf(payload),
      expires_at: expiresAt,
    };
  }
}

/** Whose a record is; of an interaction, who is to be signed in by it rather than who is signed in already. */
function userOf({ accountId, result, lastSubmission }: RecordPayload): string | null {
  const [answered, before] = [result, lastSubmission] as (InteractionResult | undefined)[];
  return answered?.login?.accountId ?? before?.login?.accountId ?? accountId ?? null;
}

function epochOf(moment: Date): number {
  return Math.floor(moment.getTime() / 1000);
}
