import type { Settings } from '../settings.ts';
import { type Bootstrap, bootstrapPath } from './bootstrap.ts';
import type { Demo } from './demos.ts';

/**
 * What a developer sees when the server is up: a call to try. It takes the secrets out of `bootstrap.json` while it
 * runs; none is printed.
 */
export function greet(settings: Settings, bootstrap: Bootstrap | null, { demo }: { demo: boolean }): string {
  const lines = ['', `Gatelodge is ready at ${settings.publicUrl}`];
  if (bootstrap === null) return `${[...lines, ''].join('\n')}\n`;
  const file = bootstrapPath(settings.dataDir);
  lines.push(
    `Its first account and keys are in ${file}`,
    ...(settings.smtpUrl === undefined
      ? [
          `Its mails are shown at ${settings.publicUrl}/dev/mailbox, which asks for a user name and a password:`,
          'api_key.id and api_key.secret of that file',
        ]
      : []),
    '',
    'Try it:',
    verifyLine(settings.publicUrl, file),
    '',
  );
  for (const [index, shown] of (demo ? (bootstrap.demos ?? []) : []).entries()) {
    lines.push(
      `A call in the style of the preset ${shown.preset}:`,
      authorizeLine(settings.publicUrl, file, index, shown),
      '',
    );
  }
  return `${lines.join('\n')}\n`;
}

function verifyLine(baseUrl: string, file: string): string {
  const config =
    '"user="+b.api_key.id+":"+b.api_key.secret+"\\ndata="+JSON.stringify({key:b.demo.api_key.secret})';
  return [
    configFromFile(file, config),
    `  curl -sS ${baseUrl}/v1/keys/verify -K - -H 'Content-Type: application/json'`,
  ].join('\n');
}

function authorizeLine(baseUrl: string, file: string, index: number, demo: Demo): string {
  const scheme = demo.key_header.toLowerCase() === 'authorization' ? 'Bearer ' : '';
  const tenant =
    demo.tenant_header === null ? '' : ` -H '${demo.tenant_header}: ${demo.organization.external_id}'`;
  const header = `"${demo.key_header}: ${scheme}"+b.demos[${index}].keys.sandbox.secret`;
  return [
    configFromFile(file, `"header="+JSON.stringify(${header})`),
    `  curl -sSi ${baseUrl}/v1/authorize/${demo.issuer_id} -K -${tenant}`,
  ].join('\n');
}

/**
 * The beginning of a pipe that hands curl what is secret as lines of configuration: in its arguments everybody on the
 * machine could read it while it runs. For any POSIX shell.
 *
 * @param expression of JavaScript, in which `b` is the content of the file
 */
function configFromFile(file: string, expression: string): string {
  // As JSON inside single quotes.
  const path = JSON.stringify(file).replaceAll("'", "'\\''");
  return `node -p 'b=JSON.parse(require("fs").readFileSync(${path}));${expression}' |`;
}
