import { type Selectable, sql } from 'kysely';
import type { Principal } from '../authentication/principal.ts';
import { AppError } from '../errors.ts';
import type { NewEvent } from '../events/event.ts';
import { found, foundUnchanged } from '../http/found.ts';
import { contains, type PageRequest, paged, type Sort } from '../http/listing.ts';
import type { CursorCodec, CursorPosition } from '../http/pagination.ts';
import { idPrefixes, newId } from '../ids/ids.ts';
import { isVisibleIssuer } from '../issuers/visible-issuer.ts';
import type { Environment } from '../key-profiles/key-profile.ts';
import type { Transaction } from '../postgres/database.ts';
import type { JsonObject, UsersTable } from '../postgres/schema.ts';
import { normalizeUsername, type Username, type UsernameType } from './username.ts';
import { usernameTaken } from './username-taken.ts';

export type UserRow = Selectable<UsersTable>;

/** The users of one issuer that the caller can see: none of a deleted issuer, or of a live one for a sandbox key. */
function visibleUsers(tx: Transaction, principal: Principal, issuerId: string) {
  return tx
    .selectFrom('users')
    .selectAll('users')
    .where('users.account_id', '=', principal.accountId)
    .where('users.issuer_id', '=', issuerId)
    .where(isVisibleIssuer(principal, issuerId));
}

/** @throws not_found */
export async function requireUser(
  tx: Transaction,
  principal: Principal,
  params: { issuer_id: string; user_id: string },
): Promise<UserRow> {
  const row = await visibleUsers(tx, principal, params.issuer_id)
    .where('users.id', '=', params.user_id)
    .executeTakeFirst();
  return found(row);
}

/** As `requireUser`, and nobody changes it before the transaction ends. @throws not_found, precondition_failed */
export async function lockUser(
  tx: Transaction,
  principal: Principal,
  params: { issuer_id: string; user_id: string },
  ifMatch: string | undefined,
): Promise<UserRow> {
  const row = await visibleUsers(tx, principal, params.issuer_id)
    .where('users.id', '=', params.user_id)
    .forUpdate('users')
    .executeTakeFirst();
  return foundUnchanged(row, ifMatch);
}

interface UserFilter extends PageRequest {
  status?: 'active' | 'suspended' | undefined;
  username_type?: UsernameType | undefined;
  username?: string | undefined;
  search?: string | undefined;
}

/** What of a user a search looks at. */
export const searchedOfUser = sql<string>`(users.username || ' ' || coalesce(users.profile->>'first_name', '')
  || ' ' || coalesce(users.profile->>'last_name', ''))`;

/** One row more than the page holds. */
export function listUsers(
  tx: Transaction,
  principal: Principal,
  issuerId: string,
  filter: UserFilter,
  cursors: CursorCodec,
): Promise<UserRow[]> {
  let query = visibleUsers(tx, principal, issuerId);
  if (filter.status) query = query.where('users.status', '=', filter.status);
  if (filter.username_type) query = query.where('users.username_type', '=', filter.username_type);
  if (filter.search) query = query.where(contains(searchedOfUser, filter.search));
  if (filter.username !== undefined) {
    const keys = keysOf(filter.username);
    query = query.where((eb) =>
      eb.or(
        keys.map(({ type, key }) =>
          eb.and([eb('users.username_type', '=', type), eb('users.username_key', '=', key)]),
        ),
      ),
    );
  }
  return paged(query, 'users', filter, cursors, 'username').execute();
}

/** Where a row stands in that order. */
export function positionOfUser(sort: Sort | undefined): (row: UserRow) => CursorPosition {
  return ({ id, username }) => (sort?.endsWith('username') ? [username, id] : [id]);
}

/** What a text may be as a username of any type. */
function keysOf(text: string): { type: UsernameType; key: string }[] {
  return (['email', 'unique-name', 'phone'] as const).flatMap((type) => {
    const parsed = normalizeUsername(type, text);
    return parsed.ok ? [{ type, key: parsed.key }] : [];
  });
}

export interface NewUser {
  accountId: string;
  issuerId: string;
  environment: Environment;
  type: UsernameType;
  username: Username;
  profile?: JsonObject | undefined;
  metadata?: JsonObject | undefined;
}

/** Makes a user, with its event. @throws username_taken */
export async function insertUser(
  tx: Transaction,
  user: NewUser,
  record: (event: NewEvent) => Promise<void>,
): Promise<UserRow> {
  const row = await tx
    .insertInto('users')
    .values(valuesOf(user))
    .returningAll()
    .executeTakeFirstOrThrow()
    .catch(usernameTaken);
  await record(createdEvent(row, user));
  return row;
}

/**
 * The user of an issuer who has this address; null when there is none. For who signs in: whatever its status.
 *
 * @param key of `normalizeAddress`
 */
export async function findUserByAddress(
  tx: Transaction,
  accountId: string,
  issuerId: string,
  key: string,
): Promise<UserRow | null> {
  const row = await tx
    .selectFrom('users')
    .selectAll()
    .where('account_id', '=', accountId)
    .where('issuer_id', '=', issuerId)
    .where('username_type', '=', 'email')
    .where('username_key', '=', key)
    .executeTakeFirst();
  return row ?? null;
}

/** How often the user that was there may be gone again before somebody is told to try again. */
const maxAttempts = 3;

/**
 * The user of this address, made (with its event) where there is none yet: of two at once, one makes it and both get it.
 * A user who is there already stays as it is.
 */
export async function signUp(
  tx: Transaction,
  {
    record,
    ...user
  }: Pick<NewUser, 'accountId' | 'issuerId' | 'environment' | 'username'> & {
    record: (event: NewEvent) => Promise<void>;
  },
): Promise<UserRow> {
  const newUser: NewUser = { ...user, type: 'email' };
  for (let attempt = 1; attempt <= maxAttempts; attempt++) {
    const made = await tx
      .insertInto('users')
      .values(valuesOf(newUser))
      .onConflict((conflict) => conflict.columns(['issuer_id', 'username_type', 'username_key']).doNothing())
      .returningAll()
      .executeTakeFirst();
    if (made !== undefined) {
      await record(createdEvent(made, newUser));
      return made;
    }
    // Whoever was first has committed by now: the insertion has waited for that.
    const found = await findUserByAddress(tx, user.accountId, user.issuerId, user.username.key);
    if (found !== null) return found;
  }
  throw new AppError('conflict');
}

function valuesOf({ accountId, issuerId, type, username, profile, metadata }: NewUser) {
  return {
    id: newId(idPrefixes.user),
    account_id: accountId,
    issuer_id: issuerId,
    username_type: type,
    username: username.address,
    username_key: username.key,
    profile: JSON.stringify(profile ?? {}),
    metadata: JSON.stringify(metadata ?? {}),
  };
}

/** The trail is read by more people than may know who the users are: it names none by an address. */
function createdEvent(row: UserRow, { environment }: NewUser): NewEvent {
  return {
    type: 'user.created',
    subject: { type: 'user', id: row.id },
    environment,
    issuerId: row.issuer_id,
    data: { username_type: row.username_type },
  };
}
