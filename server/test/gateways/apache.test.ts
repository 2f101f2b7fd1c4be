import { cp, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { describe } from 'vitest';
import type { GatewayKind } from './gateway.ts';
import { describeGateway } from './guarantees.ts';

const modules = [
  ['mpm_event', 'mpm_event'],
  ['authz_core', 'authz_core'],
  ['headers', 'headers'],
  ['lua', 'lua'],
  ['proxy', 'proxy'],
  ['proxy_http', 'proxy_http'],
] as const;

const apache: GatewayKind = {
  name: 'apache',
  files: ['gatelodge.conf', 'gatelodge.lua'],
  async prepare(directory, programs) {
    // Started as root, Apache is another user when it loads these, who may not reach them where they are.
    await cp(programs.lua.scripts, join(directory, 'lua'), { recursive: true, dereference: true });
    await cp(programs.lua.libraries, join(directory, 'lua-libraries'), {
      recursive: true,
      dereference: true,
    });
    await writeFile(
      join(directory, 'apache2.conf'),
      `ServerRoot ${directory}
ServerName localhost
DefaultRuntimeDir ${directory}
PidFile ${directory}/apache2.pid
ErrorLog ${directory}/error.log
${modules.map(([name, file]) => `LoadModule ${name}_module ${programs.apacheModules}/mod_${file}.so`).join('\n')}
${userInfo().uid === 0 ? 'User www-data\nGroup www-data' : ''}
Include ${directory}/gatelodge.conf
`,
    );
    return {
      command: programs.apache,
      // In one process, whose end is the end of all of it.
      args: ['-X', '-f', join(directory, 'apache2.conf')],
      env: {
        LUA_PATH: `${directory}/lua/?.lua;;`,
        LUA_CPATH: `${directory}/lua-libraries/?.so;;`,
      },
    };
  },
};

describe('Apache', () => describeGateway(apache));
