import { join } from 'node:path';
import { describe } from 'vitest';
import type { GatewayKind } from './gateway.ts';
import { describeGateway } from './guarantees.ts';

const caddy: GatewayKind = {
  name: 'caddy',
  files: ['Caddyfile'],
  passesWebSockets: true,
  prepare: async (directory, programs) => ({
    command: programs.caddy,
    args: ['run', '--config', join(directory, 'Caddyfile')],
    env: { XDG_DATA_HOME: directory, XDG_CONFIG_HOME: directory },
  }),
};

describe('Caddy', () => describeGateway(caddy));
