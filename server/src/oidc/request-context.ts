import { type Authorizations, type Context, Provider } from 'oidc-provider';
import { type RequestInfo, requestInfoOf } from '../edge/request-info.ts';

const nobody: RequestInfo = { id: '', ip: '', userAgent: null };

/** What keeps the organization that was chosen. */
const keepsOrganization: ReadonlySet<string> = new Set(['AuthorizationCode', 'RefreshToken', 'DeviceCode']);

type Authorization = Authorizations[string];

/** What is known of the request that is under way, wherever in the library it is. */
export class RequestContext {
  get current(): Context | undefined {
    return Provider.ctx;
  }

  /** Who sent it. */
  info(): RequestInfo {
    const context = this.current;
    return context === undefined ? nobody : requestInfoOf(context.req);
  }

  /** What was shown a second time, where something was. */
  reuseReason(): 'refresh_reuse' | 'code_reuse' {
    return this.current?.oidc.params.grant_type === 'refresh_token' ? 'refresh_reuse' : 'code_reuse';
  }

  /**
   * The one organization that the tokens are for; null for all. Picked by the user just now, or asked for by the client
   * (`org=`), or picked for this client before in this browser login; and kept by the code and each refresh token.
   */
  organization(): string | null {
    const oidc = this.current?.oidc;
    if (oidc === undefined) return null;
    // Elsewhere these are what is being made.
    if (oidc.route === 'token') {
      const { AuthorizationCode, DeviceCode, RotatedRefreshToken, RefreshToken } = oidc.entities;
      // A refresh token comes last: beside a code, it is the one that is being made.
      const source = AuthorizationCode ?? DeviceCode ?? RotatedRefreshToken ?? RefreshToken;
      return source?.org ?? null;
    }
    const own = this.organizationOfRequest();
    return own === undefined ? this.rememberedOrganization() : own;
  }

  /** Of those the one that this request has itself; null for all, undefined where it says nothing. */
  organizationOfRequest(): string | null | undefined {
    const { result, params } = this.current?.oidc ?? {};
    if (result?.organization !== undefined) return result.organization.org_id;
    return typeof params?.org === 'string' ? params.org : undefined;
  }

  /**
   * What the user has picked for this client in this browser login. The login keeps it, and not what it grants the client:
   * that ends with the client's session, which the client can end itself.
   */
  rememberedOrganization(): string | null {
    return this.#authorization?.organization ?? null;
  }

  /** Whether the user has been shown the picker for this client in this browser login and has not picked yet. */
  get isPicking(): boolean {
    return this.#authorization?.isPicking === true;
  }

  beginPicking(): void {
    this.#authorize((entry) => ({ ...entry, isPicking: true }));
  }

  endPicking(): void {
    this.#authorize(({ isPicking: _is, ...rest }) => rest);
  }

  /** @param picked an organization; null for all, undefined for nothing that was picked */
  rememberOrganization(picked: string | null | undefined): void {
    this.#authorize(({ organization: _before, isPicking: _is, ...rest }) => ({
      ...rest,
      ...(picked !== undefined && { organization: picked }),
    }));
  }

  #authorize(change: (entry: Authorization) => Authorization): void {
    const { session, client } = this.current?.oidc ?? {};
    if (session === undefined || client === undefined) return;
    session.authorizations = {
      ...session.authorizations,
      [client.clientId]: change(this.#authorization ?? {}),
    };
  }

  get #authorization() {
    const { session, client } = this.current?.oidc ?? {};
    return session?.authorizations?.[client?.clientId ?? ''];
  }

  /** The members that a record of this model keeps of it. */
  organizationToKeep(model: string): { org?: string } {
    const org = keepsOrganization.has(model) ? this.organization() : null;
    return org === null ? {} : { org };
  }
}
