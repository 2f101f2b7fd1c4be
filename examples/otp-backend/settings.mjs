/*
 * What this server is told by its environment, checked before it starts: whoever runs it reads what is wrong and what to do.
 */

/** Where Gatelodge is, without a slash at the end. */
export const gatelodge = required('GATELODGE_URL').replace(/\/+$/, '');
export const issuer = `${gatelodge}/${required('ISSUER_ID')}`;
export const apiKey = required('API_KEY');
export const port = Number(process.env.PORT || 8080);
/** Where browsers find this server, if it is anywhere else than on this machine. */
export const publicOrigin = process.env.ORIGIN?.replace(/\/+$/, '') || null;

/** The issuer's discovery document. Ends the process where there is none. */
export async function discover() {
  const url = `${issuer}/.well-known/openid-configuration`;
  const response = await fetch(url).catch((error) =>
    stop(
      `No Gatelodge answers at ${gatelodge} (${error.cause?.code ?? error.message}). Start it, or correct GATELODGE_URL.`,
    ),
  );
  if (response.status === 404)
    stop(`Gatelodge at ${gatelodge} has no issuer ${process.env.ISSUER_ID}. Correct ISSUER_ID.`);
  const document = await response.json().catch(() => ({}));
  if (!response.ok || typeof document.issuer !== 'string')
    stop(
      `${url} answers ${response.status} and no discovery document. Is GATELODGE_URL the URL of a Gatelodge?`,
    );
  // OpenID Connect Discovery §4.3: another name is another issuer. Tokens would be refused later, and nobody knew why.
  if (document.issuer !== issuer)
    stop(
      `This issuer calls itself ${document.issuer}. Set GATELODGE_URL to ${new URL(document.issuer).origin}.`,
    );
  return document;
}

/** Ends the process with a message for whoever has started it. */
export function stop(message) {
  console.error(message);
  process.exit(1);
}

function required(name) {
  return process.env[name] || stop(`Set ${name}; README.md says to what.`);
}
