import { exportJWK, generateKeyPair } from 'jose';
import { all, inAnswerOf, type Mutant, paths } from '../mutant.ts';
import { editJson, jsonOf } from '../wire.ts';
import { everyReturn, everyUserinfo } from './module-groups.ts';

const metadataModule = 'oidcc-discovery-endpoint-verification';

/** Faults of UserInfo, the metadata and the key set. */
export const userinfoAndMetadataMutants: readonly Mutant[] = [
  {
    name: 'userinfo-sub',
    does: 'UserInfo is about somebody else',
    caughtBy: all('fail', everyUserinfo),
    ...inAnswerOf(paths.userinfo, (answer) =>
      editJson(answer, (members) => {
        members.sub = 'somebody-else';
      }),
    ),
  },
  {
    name: 'userinfo-untyped',
    does: 'UserInfo is not said to be JSON',
    caughtBy: all('fail', everyUserinfo),
    ...inAnswerOf(paths.userinfo, (answer) => {
      answer.headers['content-type'] = 'text/plain';
    }),
  },
  {
    name: 'userinfo-types',
    does: 'email_verified is a string',
    caughtBy: all('fail', ['oidcc-scope-email', 'oidcc-scope-all', 'oidcc-alternate-happy-flow']),
    ...inAnswerOf(paths.userinfo, (answer) =>
      editJson(answer, (members) => {
        if ('email_verified' in members) members.email_verified = 'true';
      }),
    ),
  },
  {
    name: 'userinfo-get-alone',
    does: 'UserInfo takes GET alone',
    caughtBy: { 'oidcc-userinfo-post-header': 'fail', 'oidcc-userinfo-post-body': 'warning' },
    request: ({ url, method }) =>
      url.pathname === paths.userinfo && method === 'POST'
        ? jsonOf(405, { error: 'invalid_request' })
        : undefined,
  },
  {
    name: 'userinfo-unguarded',
    does: 'UserInfo answers whoever asks with any token, or none, about whoever asked last',
    caughtBy: {
      'oidcc-codereuse-30seconds': 'warning',
      ...all('fail', ['own-refresh-rotation', 'own-userinfo-refusals', 'own-logout-ends-tokens']),
    },
    ...inAnswerOf(paths.userinfo, (answer, _request, { memory }) => {
      if (answer.status === 200) memory.set('last', answer.body);
      else Object.assign(answer, jsonOf(200, JSON.parse(memory.get('last') ?? '{}') as object));
    }),
  },
  {
    name: 'userinfo-unchallenged',
    does: 'UserInfo refuses without WWW-Authenticate',
    caughtBy: all('fail', ['own-userinfo-refusals', 'own-logout-ends-tokens']),
    ...inAnswerOf(paths.userinfo, (answer) => {
      delete answer.headers['www-authenticate'];
    }),
  },
  metadataMutant(
    'metadata-issuer',
    'the metadata is of another issuer',
    [metadataModule, ...everyReturn, 'own-iss-parameter'],
    {
      issuer: 'https://other.example',
    },
  ),
  metadataMutant('metadata-subject-types', 'the metadata has no subject_types_supported', [metadataModule], {
    subject_types_supported: undefined,
  }),
  metadataMutant('metadata-response-types', 'the metadata does not name the code flow', [metadataModule], {
    response_types_supported: ['id_token'],
  }),
  metadataMutant(
    'metadata-scopes',
    'the metadata lists scopes, and openid is not among them',
    [metadataModule],
    {
      scopes_supported: ['email', 'profile', 'address', 'phone', 'offline_access'],
    },
  ),
  metadataMutant('metadata-http', 'an endpoint is reached over http', [metadataModule], {
    registration_endpoint: 'http://op.example.com/register',
  }),
  metadataMutant('metadata-relative', 'an endpoint is given by its path alone', [metadataModule], {
    introspection_endpoint: '/token/introspection',
  }),
  {
    ...metadataMutant('metadata-claims-unsaid', 'the metadata does not say which claims there are', [], {
      claims_supported: undefined,
    }),
    caughtBy: { [metadataModule]: 'warning' },
  },
  {
    name: 'metadata-untyped',
    does: 'the metadata is not said to be JSON',
    caughtBy: { [metadataModule]: 'fail' },
    ...inAnswerOf(paths.metadata, (answer) => {
      answer.headers['content-type'] = 'text/plain';
    }),
  },
  {
    name: 'keys-private',
    does: 'the key set shows a private key',
    caughtBy: { [metadataModule]: 'fail' },
    ...inAnswerOf(paths.keys, (answer) => addKey(answer, { kid: 'second' }, true)),
  },
  {
    name: 'keys-same-kid',
    does: 'two keys have the same kid',
    caughtBy: { [metadataModule]: 'fail' },
    ...inAnswerOf(paths.keys, (answer) => addKey(answer, { kid: 'calibration' })),
  },
];

function metadataMutant(
  name: string,
  does: string,
  caughtBy: readonly string[],
  members: Readonly<Record<string, unknown>>,
): Mutant {
  return {
    name,
    does,
    caughtBy: all('fail', caughtBy),
    ...inAnswerOf(paths.metadata, (answer) =>
      editJson(answer, (metadata) => Object.assign(metadata, members)),
    ),
  };
}

async function addKey(
  answer: Parameters<typeof editJson>[0],
  members: object,
  isPrivate = false,
): Promise<void> {
  const pair = await generateKeyPair('ES256', { extractable: true });
  const key = { ...(await exportJWK(isPrivate ? pair.privateKey : pair.publicKey)), ...members };
  editJson(answer, (set) => {
    set.keys = [...(set.keys as object[]), key];
  });
}
