import { decodeJwt, decodeProtectedHeader, exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose';
import { withoutSignature } from '../../modules/logout.ts';
import { all, inAnswerOf, type Mutant, paths, type Spoiled } from '../mutant.ts';
import { editJson, type WireAnswer, type WireRequest } from '../wire.ts';
import { everySignIn, everyUserinfo } from './module-groups.ts';

/** Faults of ID tokens; except where said, each is signed as the provider signs. */
export const idTokenMutants: readonly Mutant[] = [
  claimsMutant('id-token-iss', 'iss is another issuer', everySignIn, (claims) => ({
    ...claims,
    iss: 'https://other.example',
  })),
  claimsMutant('id-token-aud', 'aud is another client', everySignIn, (claims) => ({
    ...claims,
    aud: 'other',
  })),
  claimsMutant('id-token-azp', 'azp is another client', everySignIn, (claims) => ({
    ...claims,
    azp: 'other',
  })),
  claimsMutant('id-token-expired', 'exp is past', everySignIn, (claims) => ({
    ...claims,
    exp: (claims.iat ?? 0) - 600,
  })),
  claimsMutant('id-token-at-hash', 'at_hash is of another access token', everySignIn, (claims) => ({
    ...claims,
    at_hash: 'AAAAAAAAAAAAAAAAAAAAAA',
  })),
  claimsMutant(
    'id-token-nonce-missing',
    'the nonce of the request is forgotten',
    everySignIn.filter((name) => name !== 'oidcc-ensure-request-without-nonce-succeeds-for-code-flow'),
    (claims) => without(claims, 'nonce'),
  ),
  claimsMutant(
    'id-token-nonce-invented',
    'there is a nonce, though nobody asked for one',
    ['oidcc-ensure-request-without-nonce-succeeds-for-code-flow'],
    (claims) => ({ nonce: 'invented', ...claims }),
  ),
  claimsMutant(
    'id-token-auth-time-missing',
    'auth_time is left out, also where max_age asks for it',
    ['oidcc-max-age-1', 'oidcc-max-age-10000'],
    (claims) => without(claims, 'auth_time'),
  ),
  claimsMutant(
    'id-token-auth-time-moves',
    'auth_time goes on from token to token, though nobody signs in again',
    ['oidcc-max-age-10000'],
    (claims, _request, { memory }) => {
      if (claims.auth_time === undefined) return claims;
      const count = Number(memory.get('tokens') ?? 0) + 1;
      memory.set('tokens', String(count));
      return { ...claims, auth_time: Number(claims.auth_time) - 3_600 + count };
    },
  ),
  claimsMutant(
    'id-token-sub-of-each-token',
    'every ID token has a sub of its own',
    [...everyUserinfo, 'oidcc-prompt-none-logged-in', 'oidcc-id-token-hint', 'oidcc-max-age-10000'],
    (claims, _request, { memory }) => {
      const count = Number(memory.get('tokens') ?? 0) + 1;
      memory.set('tokens', String(count));
      return { ...claims, sub: `${claims.sub}-${count}` };
    },
  ),
  claimsMutant(
    'id-token-refreshed-sub',
    'the ID token of a refresh is about somebody else',
    ['oidcc-refresh-token'],
    (claims, request) =>
      request.form?.get('grant_type') === 'refresh_token' ? { ...claims, sub: 'somebody-else' } : claims,
  ),
  {
    name: 'id-token-personal',
    does: 'the ID token tells the name and the address of the user unasked',
    caughtBy: {
      'oidcc-server': 'warning',
      'oidcc-claims-essential': 'warning',
      'own-scope-minimal': 'fail',
    },
    ...rewriting((claims) => ({ ...claims, name: 'Ada Example', email: 'ada@example.com' })),
  },
  {
    name: 'id-token-unsigned',
    does: 'ID tokens are not signed (alg none)',
    caughtBy: all('fail', everySignIn),
    ...inAnswerOf(paths.token, (answer) =>
      editJson(answer, (members) => {
        if (typeof members.id_token === 'string') members.id_token = withoutSignature(members.id_token);
      }),
    ),
  },
  {
    name: 'id-token-foreign-key',
    does: 'ID tokens are signed by a key that is not in the key set, under the kid of one that is',
    caughtBy: all('fail', everySignIn),
    ...rewriting((claims) => claims, 'foreign'),
  },
  {
    name: 'id-token-kid-missing',
    does: 'there are two keys, and ID tokens do not say which signed them',
    caughtBy: all('fail', everySignIn),
    answer: async (answer, request, spoiled) => {
      if (request.url.pathname === paths.keys) {
        const { publicKey } = await generateKeyPair('ES256', { extractable: true });
        const second = { ...(await exportJWK(publicKey)), kid: 'second' };
        editJson(answer, (members) => {
          members.keys = [...(members.keys as object[]), second];
        });
      }
      if (request.url.pathname === paths.token)
        await rewrite(answer, request, spoiled, (claims) => claims, 'no-kid');
    },
  },
  {
    name: 'token-cacheable',
    does: 'answers of the token endpoint may be stored by caches',
    caughtBy: all('fail', everySignIn),
    ...inAnswerOf(paths.token, (answer) => {
      delete answer.headers['cache-control'];
    }),
  },
];

type ClaimsEdit = (claims: JWTPayload, request: WireRequest, spoiled: Spoiled) => JWTPayload;
type Signing = 'own' | 'foreign' | 'no-kid';

function claimsMutant(name: string, does: string, caughtBy: readonly string[], edit: ClaimsEdit): Mutant {
  return { name, does, caughtBy: all('fail', caughtBy), ...rewriting(edit) };
}

function without(claims: JWTPayload, unwanted: string): JWTPayload {
  return Object.fromEntries(Object.entries(claims).filter(([name]) => name !== unwanted));
}

function rewriting(edit: ClaimsEdit, signing: Signing = 'own'): Pick<Mutant, 'answer'> {
  return inAnswerOf(paths.token, (answer, request, spoiled) =>
    rewrite(answer, request, spoiled, edit, signing),
  );
}

async function rewrite(
  answer: WireAnswer,
  request: WireRequest,
  spoiled: Spoiled,
  edit: ClaimsEdit,
  signing: Signing,
): Promise<void> {
  let idToken: unknown;
  editJson(answer, (members) => {
    idToken = members.id_token;
  });
  if (typeof idToken !== 'string') return;
  const { kid } = decodeProtectedHeader(idToken);
  const key = signing === 'foreign' ? (await generateKeyPair('RS256')).privateKey : spoiled.signingKey;
  const header = signing === 'no-kid' ? { alg: 'RS256' } : { alg: 'RS256', kid: kid! };
  const signed = await new SignJWT(edit(decodeJwt(idToken), request, spoiled))
    .setProtectedHeader(header)
    .sign(key);
  editJson(answer, (members) => {
    members.id_token = signed;
  });
}
