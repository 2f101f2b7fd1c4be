import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { codeByCommand, codeByMailbox } from './browser/code-sources.ts';
import { formDriver, type LoginDriver } from './browser/login-driver.ts';
import { readCodeConfig, readSuiteConfig, type SuiteConfig } from './config.ts';
import type { RunChoice } from './suite/run-and-report.ts';

export const usage = `Usage: node conformance/run.ts --config FILE [options]
       node conformance/run.ts --issuer URL --client ID:SECRET --second-client ID:SECRET
                               --redirect-uri URL --post-logout-redirect-uri URL
                               (--code-command PROGRAM | --mailbox URL) [options]

Signs in at an OpenID provider as a browser would and says which modules of the OpenID Foundation's plans it passes.

  --config FILE                   what the options below say, as JSON; options win
  --issuer URL                    the issuer, exactly as its metadata names it
  --client ID:SECRET              a client for client_secret_basic
  --second-client ID:SECRET       another one, for client_secret_post
  --redirect-uri URL              where both are sent back to; nothing has to listen there
  --post-logout-redirect-uri URL  the same after logging out
  --address TEMPLATE              whose address signs in, {n} standing for a number
                                  (conformance+{n}@example.com)
  --code-command PROGRAM          prints the code of the address that it is given
  --mailbox URL                   answers { "data": [{ "id", "to", "text" }] }, newest first;
                                  CONFORMANCE_MAILBOX_AUTHORIZATION is its Authorization
  --plan NAME, --module NAME      only these; both may be repeated
  --list                          lists plans and modules
  --json FILE                     writes the verdicts as JSON as well ("-": to the standard output, without the table)
  --help                          this text

The exit code is 0 when no module fails, 1 when one does, 2 when the command line is wrong.
`;

export type CommandLine =
  | { readonly kind: 'help' }
  | { readonly kind: 'list' }
  | ({ readonly kind: 'run'; readonly config: SuiteConfig; readonly driver: LoginDriver } & RunChoice);

/** @throws TypeError that says what is missing or wrong */
export async function readCommandLine(args: string[], env: NodeJS.ProcessEnv): Promise<CommandLine> {
  const { values } = parseArgs({ args, options: optionTypes });
  if (values.help) return { kind: 'help' };
  if (values.list) return { kind: 'list' };
  const file = values.config === undefined ? {} : await readJson(values.config);
  const members = { ...file, ...membersOf(values, env) };
  const code = readCodeConfig(members);
  const codeSource =
    'command' in code
      ? codeByCommand(code.command)
      : codeByMailbox({ url: code.mailboxUrl, authorization: code.authorization });
  return {
    kind: 'run',
    config: readSuiteConfig(members),
    driver: formDriver(codeSource),
    plans: values.plan ?? [],
    modules: values.module ?? [],
    json: values.json,
  };
}

const optionTypes = {
  config: { type: 'string' },
  issuer: { type: 'string' },
  client: { type: 'string' },
  'second-client': { type: 'string' },
  'redirect-uri': { type: 'string' },
  'post-logout-redirect-uri': { type: 'string' },
  address: { type: 'string' },
  'code-command': { type: 'string' },
  mailbox: { type: 'string' },
  plan: { type: 'string', multiple: true },
  module: { type: 'string', multiple: true },
  list: { type: 'boolean' },
  json: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const;

type Values = Partial<Record<Exclude<keyof typeof optionTypes, 'plan' | 'module' | 'list' | 'help'>, string>>;

/** The members of a config file that options stand for. */
function membersOf(values: Values, env: NodeJS.ProcessEnv): Record<string, unknown> {
  const code =
    values['code-command'] === undefined
      ? values.mailbox === undefined
        ? undefined
        : { mailbox_url: values.mailbox, authorization: env.CONFORMANCE_MAILBOX_AUTHORIZATION }
      : { command: [values['code-command']] };
  const members = {
    issuer: values.issuer,
    redirect_uri: values['redirect-uri'],
    post_logout_redirect_uri: values['post-logout-redirect-uri'],
    address: values.address,
    client: clientOf(values.client, 'client_secret_basic'),
    second_client: clientOf(values['second-client'], 'client_secret_post'),
    code,
  };
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}

function clientOf(credentials: string | undefined, authMethod: string) {
  if (credentials === undefined) return undefined;
  const colon = credentials.indexOf(':');
  if (colon < 1) throw new TypeError('a client is given as ID:SECRET');
  return {
    client_id: credentials.slice(0, colon),
    client_secret: credentials.slice(colon + 1),
    token_endpoint_auth_method: authMethod,
  };
}

async function readJson(path: string): Promise<Record<string, unknown>> {
  const value: unknown = JSON.parse(await readFile(path, 'utf8'));
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new TypeError(`${path} holds no JSON object`);
  }
  return value as Record<string, unknown>;
}
