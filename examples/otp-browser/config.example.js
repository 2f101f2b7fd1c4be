/** As it calls itself in its tokens (GATELODGE_PUBLIC_URL). */
export const gatelodgeUrl = 'http://localhost:4600';
export const issuerId = 'i_…';
/** Of kind publishable, with the origin of this page: http://localhost:8081 */
export const publishableKey = 'otp_live_pk_…';
