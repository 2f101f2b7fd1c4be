import { authenticationOf } from '../../protocol/token-endpoint.ts';
import { all, atAuthorization, atToken, inAnswerOf, type Mutant, paths, type Spoiled } from '../mutant.ts';
import { jsonOf, type WireRequest } from '../wire.ts';

/** Faults of the token endpoint: codes, PKCE, client authentication, refresh tokens. */
export const tokenEndpointMutants: readonly Mutant[] = [
  {
    name: 'code-reusable',
    does: 'a code can be redeemed again and again',
    caughtBy: { 'oidcc-codereuse': 'warning', 'oidcc-codereuse-30seconds': 'fail' },
    patch: ({ provider }) => {
      provider.AuthorizationCode.prototype.consume = async () => undefined;
    },
  },
  {
    name: 'code-reuse-keeps-tokens',
    does: 'a code used twice is refused, and the tokens that it gave live on',
    caughtBy: { 'oidcc-codereuse-30seconds': 'warning' },
    ...atToken((form, _request, { memory }) => {
      const code = form.get('code');
      if (code === null) return undefined;
      const isUsed = memory.has(code);
      memory.set(code, 'used');
      return isUsed ? jsonOf(400, { error: 'invalid_grant' }) : undefined;
    }),
  },
  {
    name: 'code-reuse-error',
    does: 'a code used twice is refused as invalid_request',
    caughtBy: all('fail', ['oidcc-codereuse', 'oidcc-codereuse-30seconds']),
    ...inAnswerOf(paths.token, (answer, { form }, { memory }) => {
      const code = form?.get('code') ?? undefined;
      if (code === undefined) return;
      if (memory.has(code)) answer.body = answer.body.replace('invalid_grant', 'invalid_request');
      memory.set(code, 'used');
    }),
  },
  {
    name: 'code-of-any-client',
    does: 'a code is good for every client that proves who it is',
    caughtBy: { 'own-code-binding': 'fail' },
    ...atToken(async (form, request, spoiled) => {
      const code = await spoiled.provider.AuthorizationCode.find(form.get('code') ?? '');
      if (code !== undefined) authenticateAs(request, form, code.clientId, spoiled);
    }),
  },
  {
    name: 'code-with-any-redirect-uri',
    does: 'redirect_uri of the token request is not looked at',
    caughtBy: { 'own-code-binding': 'fail' },
    ...atToken(async (form, _request, { provider }) => {
      const code = await provider.AuthorizationCode.find(form.get('code') ?? '');
      if (code?.redirectUri !== undefined) form.set('redirect_uri', code.redirectUri);
    }),
  },
  {
    name: 'client-secret-unchecked',
    does: 'any secret is right',
    caughtBy: { 'own-client-authentication': 'fail' },
    patch: ({ provider }) => {
      provider.Client.prototype.compareClientSecret = () => true;
    },
  },
  {
    name: 'client-unchallenged',
    does: 'a client whose secret is wrong is refused without WWW-Authenticate',
    caughtBy: { 'own-client-authentication': 'fail' },
    ...inAnswerOf(paths.token, (answer) => {
      delete answer.headers['www-authenticate'];
    }),
  },
  {
    name: 'client-secret-post-refused',
    does: 'secrets in the body are not taken',
    caughtBy: all('fail', ['oidcc-server-client-secret-post', 'oidcc-refresh-token', 'own-code-binding']),
    ...atToken((form) =>
      form.get('client_id') === 'second' ? jsonOf(401, { error: 'invalid_client' }) : undefined,
    ),
  },
  {
    name: 'pkce-verifier-unchecked',
    does: 'the verifier of an S256 challenge is not looked at',
    caughtBy: { 'own-pkce-verifier': 'fail' },
    request: (request) => {
      const parameters = request.url.searchParams;
      if (
        request.url.pathname === paths.authorization &&
        parameters.get('code_challenge_method') === 'S256'
      ) {
        parameters.delete('code_challenge');
        parameters.delete('code_challenge_method');
      }
      if (request.url.pathname === paths.token) request.form?.delete('code_verifier');
    },
  },
  {
    name: 'pkce-plain-taken',
    does: 'challenges that are not hashed are taken',
    caughtBy: { 'own-pkce-plain': 'fail' },
    ...atAuthorization((parameters) => {
      if (parameters.get('code_challenge_method') === 'S256') return;
      parameters.delete('code_challenge');
      parameters.delete('code_challenge_method');
    }),
  },
  {
    name: 'pkce-broken',
    does: 'no verifier is ever right',
    caughtBy: { 'oidcc-ensure-request-with-valid-pkce-succeeds': 'fail' },
    ...atToken((form) => {
      const verifier = form.get('code_verifier');
      if (verifier !== null) form.set('code_verifier', `${verifier}x`);
    }),
  },
  {
    name: 'refresh-not-rotated',
    does: 'a refresh gives the same refresh token again',
    caughtBy: { 'own-refresh-rotation': 'fail' },
    configure: (configuration) => {
      configuration.rotateRefreshToken = false;
    },
  },
  {
    name: 'refresh-reusable',
    does: 'a refresh token that was rotated is still good',
    caughtBy: { 'own-refresh-rotation': 'fail' },
    patch: ({ provider }) => {
      provider.RefreshToken.prototype.consume = async () => undefined;
    },
  },
  {
    name: 'refresh-reuse-keeps-family',
    does: 'a refresh token used twice is refused, and its family lives on',
    caughtBy: { 'own-refresh-rotation': 'fail' },
    ...atToken((form, _request, { memory }) => {
      const token = form.get('refresh_token');
      if (token === null) return undefined;
      const isUsed = memory.has(token);
      memory.set(token, 'used');
      return isUsed ? jsonOf(400, { error: 'invalid_grant' }) : undefined;
    }),
  },
  {
    name: 'refresh-of-any-client',
    does: 'a refresh token is good for every client that proves who it is',
    caughtBy: { 'oidcc-refresh-token': 'fail' },
    ...atToken(async (form, request, spoiled) => {
      const token = await spoiled.provider.RefreshToken.find(form.get('refresh_token') ?? '');
      if (token !== undefined) authenticateAs(request, form, token.clientId, spoiled);
    }),
  },
  {
    name: 'refresh-scope-unchecked',
    does: 'a refresh takes no notice of a scope that was never granted',
    caughtBy: { 'own-refresh-scope': 'fail' },
    ...atToken((form) => {
      if (form.get('grant_type') === 'refresh_token') form.delete('scope');
    }),
  },
  {
    name: 'token-errors-as-success',
    does: 'refusals of the token endpoint have status 200',
    caughtBy: {
      'oidcc-codereuse': 'warning',
      ...all('fail', [
        'oidcc-codereuse-30seconds',
        'oidcc-refresh-token',
        'own-pkce-verifier',
        'own-code-binding',
        'own-client-authentication',
        'own-refresh-rotation',
        'own-refresh-scope',
      ]),
    },
    ...inAnswerOf(paths.token, (answer) => {
      answer.status = 200;
    }),
  },
  {
    name: 'token-errors-untyped',
    does: 'refusals of the token endpoint are not said to be JSON',
    caughtBy: all('fail', [
      'oidcc-codereuse',
      'oidcc-codereuse-30seconds',
      'oidcc-refresh-token',
      'own-pkce-verifier',
      'own-code-binding',
      'own-client-authentication',
      'own-refresh-rotation',
      'own-refresh-scope',
    ]),
    ...inAnswerOf(paths.token, (answer) => {
      if (answer.status >= 400) answer.headers['content-type'] = 'text/html';
    }),
  },
];

/** Lets a client that is who it says it is pass for another one; others stay who they are. */
function authenticateAs(
  { headers }: WireRequest,
  form: URLSearchParams,
  clientId: string,
  { clients }: Spoiled,
): void {
  const isProven = clients.some((client) => {
    const { header, form: members } = authenticationOf(client);
    return header === undefined
      ? members?.client_secret === form.get('client_secret')
      : headers.authorization === header;
  });
  const owner = clients.find((client) => client.clientId === clientId);
  if (!isProven || owner === undefined) return;
  delete headers.authorization;
  form.set('client_id', owner.clientId);
  form.set('client_secret', owner.clientSecret);
}
