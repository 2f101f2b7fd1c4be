import { join } from 'node:path';
import { describe } from 'vitest';
import type { GatewayKind } from './gateway.ts';
import { describeGateway } from './guarantees.ts';

const haproxy: GatewayKind = {
  name: 'haproxy',
  files: ['haproxy.cfg', 'gatelodge.lua'],
  passesWebSockets: true,
  prepare: async (directory, programs) => ({
    command: programs.haproxy,
    args: ['-db', '-f', join(directory, 'haproxy.cfg')],
  }),
};

describe('HAProxy', () => describeGateway(haproxy));
