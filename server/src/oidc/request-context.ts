import { type Context, Provider } from 'oidc-provider';
import { type RequestInfo, requestInfoOf } from '../edge/request-info.ts';

const nobody: RequestInfo = { id: '', ip: '', userAgent: null };

/** What keeps the organization that was chosen. */
const keepsOrganization: ReadonlySet<string> = new Set(['AuthorizationCode', 'RefreshToken', 'DeviceCode']);

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
   * The one organization that the tokens are for; null for all. Asked for by the client (`org=`) or picked by the user,
   * and kept by the code and each refresh token.
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
    const asked = oidc.params.org;
    return oidc.result?.organization?.org_id ?? (typeof asked === 'string' ? asked : null);
  }

  /** The members that a record of this model keeps of it. */
  organizationToKeep(model: string): { org?: string } {
    const org = keepsOrganization.has(model) ? this.organization() : null;
    return org === null ? {} : { org };
  }
}
