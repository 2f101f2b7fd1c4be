export const gatelodgeUrl = 'http://localhost:4600';
export const issuerId = 'i_…';
export const publishableKey = 'gl_live_pk_…';
