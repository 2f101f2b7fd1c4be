import { type Html, html } from '../../mail/html.ts';
import { none, type Page } from '../page.ts';

/** Why a page is shown again. */
export interface Fault {
  readonly status: number;
  readonly message: string;
  readonly retryAfterSeconds?: number;
}

/** Whether it is what was typed that is wrong. */
function isOfField(fault: Fault | null): fault is Fault {
  return fault?.status === 422;
}

/**
 * What went wrong, in front of the form; it leads to the field where that is what has to be mended.
 *
 * @param fieldId null where the page has no such field any more
 */
export function alertOf(fault: Fault | null, fieldId: string | null): Html {
  if (fault === null) return none;
  const { message } = fault;
  const text =
    isOfField(fault) && fieldId !== null ? html`<a href="#${fieldId}">${message}</a>` : html`${message}`;
  return html`<div class="alert" role="alert" id="error">${text}</div>`;
}

/** The attributes that tie the field to what is said about it. */
export function faultOf(fault: Fault | null): Html {
  if (fault === null) return none;
  return isOfField(fault)
    ? html` aria-invalid="true" aria-describedby="error"`
    : html` aria-describedby="error"`;
}

/** Status and headers of a page that may be shown because of a fault. */
export function answering(fault: Fault | null): Pick<Page, 'status' | 'hasError' | 'headers'> {
  if (fault === null) return { status: 200 };
  const { status, retryAfterSeconds } = fault;
  return {
    status,
    hasError: true,
    ...(retryAfterSeconds !== undefined && { headers: { 'Retry-After': String(retryAfterSeconds) } }),
  };
}
