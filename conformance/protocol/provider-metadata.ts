import type { JSONWebKeySet, JWK } from 'jose';
import { type HttpAnswer, parseObject, send } from '../browser/http.ts';
import { ModuleStopped } from '../suite/outcome.ts';

/** What a provider says of itself (OpenID Connect Discovery 1.0 §3), as it came. */
export class ProviderMetadata {
  readonly answer: HttpAnswer;
  readonly members: Readonly<Record<string, unknown>>;
  #keys: Promise<JSONWebKeySet> | undefined;

  /** @throws ModuleStopped when there is no JSON object at the issuer's well-known URL */
  static async fetch(issuer: string): Promise<ProviderMetadata> {
    // Discovery §4.1: a terminating slash of the issuer is removed first.
    const url = new URL(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`);
    const answer = await send({ url });
    const members = parseObject(answer.body);
    if (answer.status !== 200 || members === undefined) {
      throw new ModuleStopped(`no metadata at ${url.href}: status ${answer.status} (Discovery §4.2)`);
    }
    return new ProviderMetadata(answer, members);
  }

  private constructor(answer: HttpAnswer, members: Readonly<Record<string, unknown>>) {
    this.answer = answer;
    this.members = members;
  }

  /** The URL of an endpoint. @throws ModuleStopped when the metadata has none */
  url(name: string): URL {
    const value = this.members[name];
    const url = typeof value === 'string' ? URL.parse(value) : null;
    if (url === null) throw new ModuleStopped(`the metadata's ${name} is no URL (Discovery §3)`);
    return url;
  }

  text(name: string): string | undefined {
    const value = this.members[name];
    return typeof value === 'string' ? value : undefined;
  }

  /** The strings of a list, or nothing where the metadata has no such list. */
  list(name: string): readonly string[] | undefined {
    const value = this.members[name];
    return Array.isArray(value) ? value.filter((each) => typeof each === 'string') : undefined;
  }

  /** A boolean member, or what the specification says that it means to leave it out. */
  flag(name: string, whenMissing: boolean): boolean {
    const value = this.members[name];
    return typeof value === 'boolean' ? value : whenMissing;
  }

  get issuer(): string {
    return this.text('issuer') ?? '';
  }

  /** The provider's keys, fetched once a run. @throws ModuleStopped when there is no key set */
  keys(): Promise<JSONWebKeySet> {
    this.#keys ??= fetchKeys(this.url('jwks_uri'));
    return this.#keys;
  }
}

async function fetchKeys(url: URL): Promise<JSONWebKeySet> {
  const answer = await send({ url });
  const keys = parseObject(answer.body)?.keys;
  if (answer.status !== 200 || !Array.isArray(keys)) {
    throw new ModuleStopped(`no key set at jwks_uri: status ${answer.status} (RFC 7517 §5)`);
  }
  return { keys: keys.filter((key): key is JWK => typeof key === 'object' && key !== null) };
}
