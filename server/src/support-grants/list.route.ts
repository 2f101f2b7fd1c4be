import { pageOf, toPage } from '../http/pagination.ts';
import { defineRoute } from '../http/route.ts';
import { type SupportGrantRow, toSupportGrantResource } from './support-grant.ts';
import { listSupportGrantsQuery, supportGrantResource } from './support-grant-schema.ts';
import { listSupportGrants } from './support-grant-store.ts';

export const listSupportGrantsRoute = defineRoute({
  method: 'GET',
  path: '/v1/account/support-grants',
  operationId: 'supportGrants.list',
  summary: 'List the support grants of your account, newest first',
  permission: 'gatelodge.support-grants:read',
  query: listSupportGrantsQuery,
  responses: { 200: { description: 'A page of grants.', schema: pageOf(supportGrantResource) } },
  errors: ['wrong_environment'],
  async handler({ tx, principal, query, now, cursors }) {
    const rows = await listSupportGrants(tx, principal, query, now, cursors);
    const render = (row: SupportGrantRow) => toSupportGrantResource(row, now);
    return { body: toPage(rows, query.limit, cursors, (row) => [row.id], render) };
  },
});
