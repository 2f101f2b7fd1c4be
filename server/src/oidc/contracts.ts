import type { Route } from '../http/route.ts';

export const oidcContracts: readonly Route[] = [];
