/** What came back, read whole. */
export interface ApiAnswer {
  status: number;
  headers: Headers;
  text: string;
  // biome-ignore lint/suspicious/noExplicitAny: the answers of an API under test have whatever shape they have.
  body: any;
}

export interface ApiRequest {
  body?: unknown;
  /** Sent as it is, instead of `body`. */
  rawBody?: string | Uint8Array;
  headers?: Record<string, string>;
}

/** Speaks plain HTTP to a server, as one key or (with `null`) as nobody. */
export class ApiClient {
  readonly #baseUrl: string;
  readonly #authorization: string | null;

  constructor(baseUrl: string, key: { id: string; secret: string } | null) {
    this.#baseUrl = baseUrl;
    this.#authorization = key && `Basic ${Buffer.from(`${key.id}:${key.secret}`).toString('base64')}`;
  }

  /** The same server as somebody else. */
  as(key: { id: string; secret: string } | null): ApiClient {
    return new ApiClient(this.#baseUrl, key);
  }

  async request(method: string, path: string, request: ApiRequest = {}): Promise<ApiAnswer> {
    const hasBody = request.body !== undefined || request.rawBody !== undefined;
    const response = await fetch(this.#baseUrl + path, {
      method,
      redirect: 'manual',
      headers: {
        ...(this.#authorization && { Authorization: this.#authorization }),
        ...(hasBody && { 'Content-Type': 'application/json' }),
        ...request.headers,
      },
      ...(hasBody && { body: request.rawBody ?? JSON.stringify(request.body) }),
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, text, body: parse(text) };
  }

  get = (path: string, headers?: Record<string, string>) =>
    this.request('GET', path, { ...(headers && { headers }) });
  post = (path: string, body?: unknown, headers?: Record<string, string>) =>
    this.request('POST', path, { body, ...(headers && { headers }) });
  put = (path: string, body?: unknown, headers?: Record<string, string>) =>
    this.request('PUT', path, { body, ...(headers && { headers }) });
  patch = (path: string, body?: unknown, headers?: Record<string, string>) =>
    this.request('PATCH', path, { body, ...(headers && { headers }) });
  delete = (path: string, headers?: Record<string, string>) =>
    this.request('DELETE', path, { ...(headers && { headers }) });

  /** Creates something that has to succeed, and answers its `data`. */
  // biome-ignore lint/suspicious/noExplicitAny: see `ApiAnswer`.
  async create(path: string, body: unknown = {}): Promise<any> {
    const answer = await this.post(path, body);
    if (answer.status !== 201) throw new Error(`POST ${path} answered ${answer.status}: ${answer.text}`);
    return answer.body.data;
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
