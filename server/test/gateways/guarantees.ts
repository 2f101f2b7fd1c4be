import { afterAll, beforeAll } from 'vitest';
import type { GatewayKind } from './gateway.ts';
import { GatewayWorld } from './gateway-world.ts';
import { describeAllowedRequests } from './guarantees/allowed-requests.ts';
import { describeForgedIdentity } from './guarantees/forged-identity.ts';
import { describeLimits } from './guarantees/limits.ts';
import { describeOriginalRequest } from './guarantees/original-request.ts';
import { describePreflights } from './guarantees/preflights.ts';
import { describeRefusals } from './guarantees/refusals.ts';
import { describeReplacedKeys } from './guarantees/replaced-keys.ts';
import { describeTenantsApart } from './guarantees/tenants-apart.ts';
import { describeUnavailability } from './guarantees/unavailability.ts';
import { describeWaysPast } from './guarantees/ways-past.ts';

/** Everything a gateway of examples/proxies promises, asked of one of them. */
export function describeGateway(kind: GatewayKind): void {
  const world = new GatewayWorld(kind);
  beforeAll(() => world.open());
  afterAll(() => world.close());

  describeRefusals(world);
  describeLimits(world);
  describeReplacedKeys(world);
  describeAllowedRequests(world);
  describeForgedIdentity(world);
  describeOriginalRequest(world);
  describeWaysPast(world);
  describePreflights(world);
  describeUnavailability(world);
  describeTenantsApart(world);
}
