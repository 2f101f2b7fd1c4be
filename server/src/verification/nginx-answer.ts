/** What a refusal is to nginx: its `auth_request` passes on only 401 and 403, and the body of neither. */
export interface NginxRefusal {
  status: number;
  /** Flat list of names and values, from which the configuration restores status and body. */
  headers: string[];
}

/** The refusal as `?status=nginx` asks for it. */
export function refusalForNginx(status: number, body: string): NginxRefusal {
  const bodyHeader = ['X-Gatelodge-Body', toAscii(body)];
  if (status !== 429) return { status, headers: bodyHeader };
  return { status: 403, headers: ['X-Gatelodge-Status', '429', ...bodyHeader] };
}

/** The same JSON value in characters that a header may hold; what is ASCII already keeps its bytes. */
function toAscii(json: string): string {
  // JSON.stringify leaves no line break and no control character but DEL; by code unit, as JSON's own escapes are.
  return json.replaceAll(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
