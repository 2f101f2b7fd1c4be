import type { Exchange, LoadedInteraction } from '../oidc/interactions.ts';
import type { FlowState } from './flow-state.ts';
import type { Page, Surface } from './page.ts';
import type { FlowForm } from './pages/address-page.ts';

/** A browser at an interaction, which is its own. */
export interface Visit {
  readonly exchange: Exchange;
  readonly loaded: LoadedInteraction;
  readonly surface: Surface;
  readonly state: FlowState;
  /** What the forms of its pages need. */
  readonly form: FlowForm;
  /** The query of the URL. */
  readonly query: URLSearchParams;
  /** What the device was given when somebody last signed in on it. */
  readonly deviceToken: string | undefined;
}

/** What a visit comes to: a page, or another place to go to. */
export type Reply =
  | { readonly page: Page; readonly state: FlowState }
  /** Back to the page itself: an answer to a form could neither be loaded again nor gone back to. */
  | { readonly state: FlowState }
  /** The interaction is answered. */
  | { readonly onward: string; readonly deviceToken?: string };

/** One kind of question that an interaction asks. */
export interface Step {
  show(visit: Visit): Promise<Reply>;
  /** What the user has answered by a form of the page; `action` says by which. */
  take(visit: Visit, action: string, fields: URLSearchParams): Promise<Reply>;
}
