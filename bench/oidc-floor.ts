import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';

/**
 * The floor of the token endpoint: the library by itself, for one issuer with one client, all in its own memory. Its access
 * tokens are JWTs signed by ES256, as ours are.
 */
const [clientId = '', clientSecret = '', scope = ''] = process.argv.slice(2);
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const resource = 'http://localhost/api';
const server = createServer({ keepAliveTimeout: 65_000 });
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as { port: number };
  const provider = new Provider(`http://localhost:${port}`, {
    jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig', kid: 'floor' }] },
    clients: [
      {
        client_id: clientId,
        client_secret: clientSecret,
        grant_types: ['client_credentials'],
        redirect_uris: [],
        id_token_signed_response_alg: 'ES256',
        response_types: [],
        scope,
        token_endpoint_auth_method: 'client_secret_basic',
      },
    ],
    scopes: scope.split(' '),
    ttl: { ClientCredentials: 600 },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => resource,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope,
          audience: resource,
          accessTokenTTL: 600,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'ES256' } },
        }),
      },
    },
  });
  provider.silent = true;
  server.on('request', provider.callback());
  process.send?.(port);
});
process.once('disconnect', () => process.exit(0));
