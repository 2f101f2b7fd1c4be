/** What every operation has in common; the `description` of the document. */
export const introduction = `Multi-tenant API keys and multi-tenant login.

**Callers** send HTTP Basic with a key's id and secret, or \`Authorization: Bearer\` with the secret alone; the account follows from the credential. What belongs to another account, issuer or organization than the caller's is answered as if it did not exist (404).

**Answers** are \`{ "data": … }\`; lists are \`{ "data": […], "has_more", "next_cursor" }\`. Times are RFC 3339 in UTC with milliseconds. Every answer carries \`X-Request-Id\`. A GET may be asked by HEAD as well.

**Errors** are \`application/problem+json\` (RFC 9457) with a stable \`code\`; \`x-codes\` lists the ones that an operation can answer. Beside these a path that does not exist answers 404 \`route_not_found\`, and one that does not take a method 405 \`method_not_allowed\` with \`Allow\`.

**Changes**: PATCH takes a JSON Merge Patch (RFC 7396). Unknown members are refused (422), never dropped. A single resource has a strong \`ETag\`; \`If-Match\` with it makes a change fail (412) when somebody else was faster. An operation that creates takes an \`Idempotency-Key\`: for 24 hours the same request under the same key answers what the first one did.`;
