import { readFile } from 'node:fs/promises';

/** The management API of a Gatelodge, as far as a run of the suite needs it. */
export class ManagementApi {
  readonly baseUrl: string;
  readonly authorization: string;

  /** @throws Error when there is neither the file nor a URL and a key in the environment */
  static async connect(bootstrapFile: string, url: string | undefined): Promise<ManagementApi> {
    const { GATELODGE_KEY_ID: id, GATELODGE_KEY_SECRET: secret } = process.env;
    if (url !== undefined && id !== undefined && secret !== undefined)
      return new ManagementApi(url, id, secret);
    const bootstrap = JSON.parse(await readFile(bootstrapFile, 'utf8')) as {
      base_url: string;
      api_key: { id: string; secret: string };
    };
    return new ManagementApi(url ?? bootstrap.base_url, bootstrap.api_key.id, bootstrap.api_key.secret);
  }

  private constructor(url: string, id: string, secret: string) {
    this.baseUrl = url.replace(/\/$/, '');
    this.authorization = `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`;
  }

  /** Creates something and gives it. */
  async post(path: string, members: object): Promise<Record<string, unknown>> {
    const { body } = await this.request('POST', path, members);
    return body.data as Record<string, unknown>;
  }

  /** @throws Error with what the API says when it refuses */
  async request(
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    members?: object,
  ): Promise<{ body: Record<string, unknown> }> {
    const response = await fetch(`${this.baseUrl}${path}`, {
      method,
      headers: {
        authorization: this.authorization,
        ...(members === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(members === undefined ? {} : { body: JSON.stringify(members) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path} answers ${response.status}: ${text}`);
    return { body: text === '' ? {} : (JSON.parse(text) as Record<string, unknown>) };
  }
}
