import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { GatewayKind } from './gateway.ts';

/** examples/proxies/nginx, in an nginx.conf that keeps everything in its own directory. */
export const nginx: GatewayKind = {
  name: 'nginx',
  files: ['gatelodge.conf'],
  stripsByName: true,
  asksForNginx: true,
  async prepare(directory, programs) {
    await mkdir(join(directory, 'temp'));
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
      .map((name) => `  ${name}_temp_path ${directory}/temp/${name};`)
      .join('\n');
    await writeFile(
      join(directory, 'nginx.conf'),
      `daemon off;
master_process off;
pid ${directory}/nginx.pid;
error_log stderr warn;
events {}
http {
  access_log off;
${temporary}
  include ${directory}/gatelodge.conf;
}
`,
    );
    return {
      command: programs.nginx,
      args: ['-e', 'stderr', '-p', directory, '-c', join(directory, 'nginx.conf')],
    };
  },
};
