import { type Expression, type ReferenceExpression, type SelectQueryBuilder, sql } from 'kysely';
import { z } from 'zod';
import type { Schema } from '../postgres/schema.ts';
import type { CursorCodec, CursorPosition } from './pagination.ts';

/** The orders of a list whose items have a name. A leading minus is descending. */
export const sortQuery = z
  .enum(['-created_at', 'created_at', 'name', '-name'])
  .default('-created_at')
  .describe('Order of the items; a leading minus is descending.');

/** The same of users, whose name is their username. */
export const usernameSortQuery = z
  .enum(['-created_at', 'created_at', 'username', '-username'])
  .default('-created_at')
  .describe('Order of the items; a leading minus is descending.');

export type Sort = z.output<typeof sortQuery | typeof usernameSortQuery>;

/** A query as far as paging looks at it. */
export interface PageRequest {
  limit: number;
  cursor?: string | undefined;
  sort?: Sort | undefined;
}

/**
 * Continues a list after its cursor, in its order, and asks for one row more than the page holds.
 * `nameColumn` may be one of a joined table, which is named then.
 *
 * Ids sort by time of creation, so they stand in for `created_at`; by name the id breaks ties. Both are compared byte
 * by byte (COLLATE "C"), which an index serves, so a page costs the same at any depth.
 */
export function paged<Table extends keyof Schema, Row>(
  query: SelectQueryBuilder<Schema, Table, Row>,
  table: Table,
  page: PageRequest,
  cursors: CursorCodec,
  nameColumn = 'name',
): SelectQueryBuilder<Schema, Table, Row> {
  const sort = page.sort ?? '-created_at';
  const direction = sort.startsWith('-') ? 'desc' : 'asc';
  const operator = sql.raw(sort.startsWith('-') ? '<' : '>');
  const position = page.cursor === undefined ? null : cursors.decode(page.cursor);
  const id = sql.ref(`${table}.id`);
  let ordered = query.limit(page.limit + 1);
  if (sort.endsWith('name')) {
    const name = sql`${sql.ref(nameColumn.includes('.') ? nameColumn : `${table}.${nameColumn}`)} collate "C"`;
    if (position)
      ordered = ordered.where(sql<boolean>`(${name}, ${id}) ${operator} (${position[0]}, ${position[1]})`);
    ordered = ordered.orderBy(name, direction);
  } else if (position) {
    ordered = ordered.where(sql<boolean>`${id} ${operator} ${position[0]}`);
  }
  return ordered.orderBy(`${table}.id` as ReferenceExpression<Schema, Table>, direction);
}

/** Where a row stands in that order. */
export function positionOf(sort: Sort | undefined): (row: { id: string; name: string }) => CursorPosition {
  return (row) => (sort?.endsWith('name') ? [row.name, row.id] : [row.id]);
}

/**
 * `name ilike` with the word taken as it is: its wildcards mean themselves. In Unicode's own order whatever the
 * database's locale, which may know of no letters but A to Z.
 */
export function nameContains(table: string, word: string) {
  return contains(sql.ref(`${table}.name`), word);
}

/** The same of any text. */
export function contains(text: Expression<string>, word: string) {
  const pattern = `%${word.replaceAll(/[\\%_]/g, '\\$&')}%`;
  return sql<boolean>`${text} collate "und-x-icu" ilike ${pattern}`;
}
