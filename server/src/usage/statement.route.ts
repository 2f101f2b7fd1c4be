import { z } from 'zod';
import { mayDo, type Principal } from '../authentication/principal.ts';
import { AppError, invalidField } from '../errors.ts';
import { environmentField } from '../http/fields.ts';
import { type CursorCodec, pageOf, pageQuery, toPage } from '../http/pagination.ts';
import { defineRoute } from '../http/route.ts';
import type { Environment } from '../key-profiles/key-profile.ts';
import type { Transaction } from '../postgres/database.ts';
import {
  type BilledCustomer,
  type Month,
  monthOf,
  statementLineResource,
  toStatementLine,
} from './statement.ts';
import { billedAccount, billedAccounts, billedOrganizations } from './statement-store.ts';

const customers = ['account', 'organizations', 'accounts'] as const;

export const getStatement = defineRoute({
  method: 'GET',
  path: '/v1/statements/{month}',
  operationId: 'statements.get',
  summary: 'Read what was used in a month, by customer',
  description:
    'A line for each customer and environment: what its plan includes, what it used and what of that is beyond. The account’s own come first, then, with `customers`, those of its organizations or, for the operator, of all other accounts, the newest first.',
  permission: 'gatelodge.usage:read',
  readsMetering: true,
  params: z.object({ month: z.string() }),
  query: z.strictObject({
    ...pageQuery,
    customers: z
      .enum(customers)
      .default('account')
      .describe(
        'Whose lines follow those of the account itself. `accounts` is the operator’s, and takes `gatelodge.accounts:read` as well.',
      ),
    environment: environmentField.optional(),
  }),
  responses: { 200: { description: 'A page of lines.', schema: pageOf(statementLineResource) } },
  async handler({ tx, principal, params, query, cursors, now }) {
    if (query.customers === 'accounts') requireAllAccounts(principal);
    const month = monthOf(params.month);
    if (month.start > now)
      throw invalidField('month', 'must not lie in the future; the newest statement is that of this month');
    const environments = environmentsOf(principal, query.environment);
    const lines = await linesOf(tx, principal, { ...query, month, environments }, cursors);
    const render = ({ customer, environment }: Line) =>
      toStatementLine(customer, environment, month.end <= now);
    return { body: toPage(lines, query.limit, cursors, positionOf, render) };
  },
});

interface Line {
  customer: BilledCustomer;
  environment: Environment;
}

interface LineQuery {
  limit: number;
  cursor?: string | undefined;
  customers: (typeof customers)[number];
  month: Month;
  environments: readonly Environment[];
}

/** One line more than the page holds. */
async function linesOf(
  tx: Transaction,
  principal: Principal,
  { limit, cursor, month, environments, ...query }: LineQuery,
  cursors: CursorCodec,
): Promise<Line[]> {
  const most = limit + 1;
  const { accountId } = principal;
  const [id = accountId, lastEnvironment = ''] = cursor === undefined ? [] : cursors.decode(cursor);
  /** Of the customer at which the page before ended, the environments that it has not told of. */
  const linesFor = (customer: BilledCustomer): Line[] =>
    environments
      .filter((environment) => customer.id !== id || environment > lastEnvironment)
      .map((environment) => ({ customer, environment }));
  const lines = id === accountId ? linesFor(await billedAccount(tx, accountId, month)) : [];
  if (query.customers === 'account' || lines.length >= most) return lines.slice(0, most);
  const read = query.customers === 'accounts' ? billedAccounts : billedOrganizations;
  const upTo = id === accountId ? null : id;
  return [...lines, ...(await read(tx, accountId, month, upTo, most)).flatMap(linesFor)].slice(0, most);
}

function positionOf({ customer, environment }: Line): string[] {
  return [customer.id, environment];
}

/** In their order; none where the caller may see no such line. */
function environmentsOf(
  { environment: own }: Principal,
  asked: Environment | undefined,
): readonly Environment[] {
  const visible: readonly Environment[] = own === 'sandbox' ? ['sandbox'] : ['live', 'sandbox'];
  return asked === undefined ? visible : visible.filter((environment) => environment === asked);
}

/** @throws permission_denied */
function requireAllAccounts(principal: Principal): void {
  if (!principal.isOperator)
    throw new AppError('permission_denied', {
      detail: 'Only a live account key of the operator may read the statements of all accounts.',
    });
  if (!mayDo(principal, 'gatelodge.accounts:read'))
    throw new AppError('permission_denied', {
      detail: 'The API key lacks the permission gatelodge.accounts:read.',
    });
}
