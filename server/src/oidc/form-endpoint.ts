import type { ClientDirectory } from '../clients/client-directory.ts';
import type { ClientRecord } from '../clients/client-record.ts';
import { isOriginOfSome } from '../clients/redirect-uri.ts';
import type { EdgeAnswer } from '../edge/answer.ts';
import type { EdgeEndpoint } from '../edge/edge.ts';
import type { EdgeRequest } from '../edge/edge-request.ts';
import { splitIssuerPath } from '../edge/issuer-path.ts';
import type { EdgeInfo } from '../edge/request-info.ts';
import { AppError } from '../errors.ts';
import type { KeyDirectory } from '../verification/key-directory.ts';
import { authenticateClient } from './client-authentication.ts';
import { readForm } from './form-body.ts';
import { OAuthError, oauthErrorAnswer, requireRunning } from './oauth-answer.ts';
import type { HeldProvider, OidcProviders } from './providers.ts';

export interface FormEndpointDependencies {
  keys: KeyDirectory;
  clients: ClientDirectory;
  providers: OidcProviders;
}

/** A form that a client has sent. */
export interface ClientForm {
  readonly form: URLSearchParams;
  readonly client: ClientRecord;
  readonly held: HeldProvider;
  readonly request: EdgeRequest;
  readonly info: EdgeInfo;
}

/** An endpoint of an issuer that takes a form of a client, which shows who it is. Errors are those of OAuth. */
export abstract class FormEndpoint implements EdgeEndpoint {
  readonly #deps: FormEndpointDependencies;
  /** Whether a client without a secret may ask as well. */
  protected abstract readonly takesPublicClients: boolean;
  /** Whether a client that has registered itself may. */
  protected readonly takesRegisteredClients: boolean = true;

  constructor(deps: FormEndpointDependencies) {
    this.#deps = deps;
  }

  /** What is answered with 200; undefined for an empty answer. `headers` takes the answer's. */
  protected abstract carryOut(asked: ClientForm, headers: string[]): Promise<object | undefined>;

  async handle(request: EdgeRequest, info: EdgeInfo, headers: string[]): Promise<EdgeAnswer> {
    const { keys, clients, providers } = this.#deps;
    const { origin } = request.headers;
    if (origin !== undefined) headers.push('Vary', 'Origin');
    try {
      const issuer = await keys.findIssuer(splitIssuerPath(request.url ?? '').issuerId ?? '');
      if (issuer === null) throw new AppError('not_found');
      requireRunning(issuer);
      const form = await readForm(request);
      const client = await authenticateClient(clients, issuer, request, form);
      if (!client.confidential && !this.takesPublicClients)
        throw new OAuthError(403, 'unauthorized_client', 'only clients with a secret may ask');
      if (client.isRegistered && !this.takesRegisteredClients)
        throw new OAuthError(403, 'unauthorized_client', 'clients that register themselves may not ask');
      if (mayRead(client, origin)) headers.push('Access-Control-Allow-Origin', origin!);
      const held = await providers.of(issuer);
      const body = await this.carryOut({ form, client, held, request, info }, headers);
      headers.push('X-Request-Id', info.id, 'Pragma', 'no-cache');
      return body === undefined ? { status: 200 } : { status: 200, body: JSON.stringify(body) };
    } catch (error) {
      return oauthErrorAnswer(fromLibrary(error), info, headers);
    }
  }
}

/** A page may read what a client without a secret is told, where its users are sent back to that page's origin. */
function mayRead({ confidential, settings }: ClientRecord, origin: string | undefined): boolean {
  return origin !== undefined && !confidential && isOriginOfSome(settings.openid.redirect_uris, origin);
}

/** What the library's models throw, as far as it is for the client. */
export function fromLibrary(error: unknown): unknown {
  const {
    expose,
    statusCode,
    error: code,
    error_description: description,
    error_detail: detail,
  } = error as Record<string, unknown>;
  if (expose !== true || typeof statusCode !== 'number' || typeof code !== 'string') return error;
  return new OAuthError(
    statusCode,
    code,
    typeof description === 'string' ? description : code,
    statusCode === 503 ? { 'Retry-After': '1' } : {},
    typeof detail === 'string' ? detail : undefined,
  );
}
