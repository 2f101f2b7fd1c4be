/** `node conformance/gatelodge.ts --help`: the suite against an issuer of a Gatelodge, made for the run. */
import { randomBytes } from 'node:crypto';
import { parseArgs } from 'node:util';
import { codeByMailbox } from './browser/code-sources.ts';
import { formDriver } from './browser/login-driver.ts';
import type { ClientConfig, SuiteConfig } from './config.ts';
import { ManagementApi } from './management-api.ts';
import { runAndReport } from './suite/run-and-report.ts';

const usage = `Usage: node conformance/gatelodge.ts [--bootstrap FILE] [--url URL] [options]

Makes a sandbox issuer with two clients and a user, reads the codes from its mailbox, runs the suite and deletes the
issuer again. Needs a Gatelodge that runs.

  --bootstrap FILE               the file that its first start wrote (data/bootstrap.json)
  --url URL                      its address, where the file is not at hand; the key then comes from
                                 GATELODGE_KEY_ID and GATELODGE_KEY_SECRET
  --keep                         leaves the issuer as it is; its mails can be read through the API
  --plan NAME, --module NAME, --json FILE
                                 as conformance/run.ts
`;

const options = {
  bootstrap: { type: 'string' },
  url: { type: 'string' },
  keep: { type: 'boolean' },
  plan: { type: 'string', multiple: true },
  module: { type: 'string', multiple: true },
  json: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** Nothing listens there: the browser stops before it would leave the provider. */
const relyingParty = 'https://relying-party.example';

/** What our ID tokens tell beyond the standard (docs: token claims). */
const extraIdTokenClaims = ['organizations', 'organizations_omitted', 'org_id', 'environment'];

/** Everything that a profile can tell by the standard's scopes. */
const profile = {
  first_name: 'Ada',
  middle_name: 'Maria',
  last_name: 'Example',
  nickname: 'ada',
  preferred_username: 'ada',
  profile: 'https://people.example/ada',
  picture: 'https://people.example/ada.png',
  website: 'https://ada.example/',
  gender: 'female',
  birthdate: '1990-12-10',
  zoneinfo: 'Europe/Vienna',
  locale: 'en-GB',
  phone_number: '+43 1 234567',
};

process.exitCode = await main(process.argv.slice(2)).catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  return 2;
});

async function main(args: string[]): Promise<number> {
  const { values } = parseArgs({ args, options });
  if (values.help === true) {
    process.stdout.write(usage);
    return 0;
  }
  const management = await ManagementApi.connect(values.bootstrap ?? 'data/bootstrap.json', values.url);
  const name = `conformance ${randomBytes(4).toString('hex')}`;
  const { id } = await management.post('/v1/issuers', { name, environment: 'sandbox' });
  const path = `/v1/issuers/${String(id)}`;
  try {
    const config = await prepare(management, path);
    const code = codeByMailbox({
      url: `${management.baseUrl}${path}/sandbox-mailbox`,
      authorization: management.authorization,
      isFiltered: false,
    });
    const choice = { plans: values.plan ?? [], modules: values.module ?? [], json: values.json };
    return await runAndReport(config, formDriver(code), choice);
  } finally {
    if (values.keep !== true) await management.request('DELETE', path);
  }
}

async function prepare(management: ManagementApi, path: string): Promise<SuiteConfig> {
  const address = `conformance-{n}@${randomBytes(4).toString('hex')}.example.com`;
  // Whoever is signed in for the whole run has something to tell; the others come to be by signing in.
  await management.post(`${path}/users`, { username: address.replace('{n}', '0'), profile });
  const { body } = await management.request(
    'GET',
    `${path.replace('/v1/issuers', '')}/.well-known/openid-configuration`,
  );
  return {
    issuer: String(body.issuer),
    client: await makeClient(management, path, 'first_party', 'client_secret_basic'),
    secondClient: await makeClient(management, path, 'external', 'client_secret_post'),
    address,
    codeReuseSeconds: 30,
    extraIdTokenClaims,
  };
}

async function makeClient(
  management: ManagementApi,
  path: string,
  type: 'first_party' | 'external',
  authMethod: ClientConfig['authMethod'],
): Promise<ClientConfig> {
  const redirectUri = `${relyingParty}/${type}/callback`;
  const postLogoutRedirectUri = `${relyingParty}/${type}/goodbye`;
  const { id, secret } = await management.post(`${path}/clients`, {
    name: `conformance ${type}`,
    type,
    confidential: true,
    settings: {
      protocol: 'oidc',
      scopes: ['openid', 'profile', 'email', 'phone', 'address', 'offline_access'],
      openid: {
        application_type: 'web',
        grant_types: ['authorization_code', 'refresh_token'],
        redirect_uris: [redirectUri],
        post_logout_redirect_uris: [postLogoutRedirectUri],
        token_endpoint_auth_method: authMethod,
        // Basic OP signs in without PKCE but in the one module that is about it.
        pkce: 'optional',
      },
    },
  });
  return {
    clientId: String(id),
    clientSecret: String(secret),
    authMethod,
    redirectUri,
    postLogoutRedirectUri,
  };
}
