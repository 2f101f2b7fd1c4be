import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { repositoryRoot } from './process.ts';

const run = promisify(execFile);
const directory = join(repositoryRoot, 'node_modules/.cache/gatelodge-python-jwt');

const program = `
import json, sys, urllib.request
import jwt
issuer, token = sys.argv[1], sys.stdin.read()
with urllib.request.urlopen(issuer + '/.well-known/openid-configuration') as answer:
    discovery = json.load(answer)
key = jwt.PyJWKClient(discovery['jwks_uri']).get_signing_key_from_jwt(token).key
algorithms = discovery['id_token_signing_alg_values_supported']
try:
    claims = jwt.decode(token, key, algorithms=algorithms, issuer=issuer, audience=issuer,
        options={'require': ['exp', 'iat', 'sub', 'iss', 'aud']})
    print(json.dumps({'claims': claims}))
except jwt.InvalidTokenError as error:
    print(json.dumps({'refused': type(error).__name__}))
`;

/** What PyJWT, which finds the keys through the issuer's discovery, makes of a token. */
export async function readByPython(
  issuer: string,
  token: string,
): Promise<{ claims: Record<string, unknown> } | { refused: string }> {
  const script = join(repositoryRoot, 'scripts/install-python-jwt.sh');
  await run('bash', [script, directory]).catch((error: Error & { stderr?: string }) => {
    throw new Error(error.stderr || error.message, { cause: error });
  });
  const running = run(join(directory, 'usr/bin/python3.11'), ['-c', program, issuer], {
    env: {
      PYTHONHOME: join(directory, 'usr'),
      PYTHONPATH: join(directory, 'usr/lib/python3/dist-packages'),
      LD_LIBRARY_PATH: ['usr/lib', 'lib'].flatMap(librariesIn).join(':'),
    },
    timeout: 20_000,
  });
  running.child.stdin!.end(token);
  return JSON.parse((await running).stdout);
}

function librariesIn(place: string): string[] {
  return readdirSync(join(directory, place))
    .filter((name) => name.endsWith('-linux-gnu'))
    .map((name) => join(directory, place, name));
}
