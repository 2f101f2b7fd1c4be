import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { EdgeAnswer } from '../edge/answer.ts';
import type { EdgeEndpoint } from '../edge/edge.ts';
import type { EdgeRequest } from '../edge/edge-request.ts';
import { splitIssuerPath } from '../edge/issuer-path.ts';
import type { EdgeInfo } from '../edge/request-info.ts';
import { AppError } from '../errors.ts';

/** What pages load beside themselves: the style sheet and the script, by names that change with what is in them. */
interface Asset {
  readonly name: string;
  readonly contentType: string;
  readonly text: string;
}

/** Below an issuer's path, so that a page loads nothing from anywhere else. */
export const assetsPath = '/login-assets';

function assetOf(file: string, contentType: string): Asset {
  const text = readFileSync(new URL(`assets/${file}`, import.meta.url), 'utf8');
  const [stem, extension] = file.split('.');
  return { name: `${stem}.${hash('sha256', text, 'hex').slice(0, 16)}.${extension}`, contentType, text };
}

export const styles = assetOf('login.css', 'text/css; charset=utf-8');
export const script = assetOf('login.js', 'text/javascript; charset=utf-8');

const assets: ReadonlyMap<string, Asset> = new Map([styles, script].map((asset) => [asset.name, asset]));

const yearSeconds = 31_536_000;

/** `GET /{issuer_id}/login-assets/{name}`: the same for every issuer, so nothing is looked up. */
export class AssetsEndpoint implements EdgeEndpoint {
  async handle(request: EdgeRequest, info: EdgeInfo, headers: string[]): Promise<EdgeAnswer> {
    const { rest } = splitIssuerPath(request.url ?? '');
    const asset = assets.get(rest.slice(assetsPath.length + 1));
    if (asset === undefined) throw new AppError('not_found');
    headers.push('X-Request-Id', info.id, 'Cross-Origin-Resource-Policy', 'same-origin');
    return {
      status: 200,
      body: asset.text,
      contentType: asset.contentType,
      cacheControl: `public, max-age=${yearSeconds}, immutable`,
    };
  }
}
