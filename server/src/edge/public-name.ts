import type { IncomingMessage, ServerResponse } from 'node:http';
import { type EdgeAnswer, writeAnswer } from './answer.ts';
import { type EdgeEndpoint, isRawEndpoint, type RawEndpoint } from './edge.ts';
import type { EdgeRequest } from './edge-request.ts';
import type { EdgeInfo } from './request-info.ts';
import type { RuntimeRoute } from './runtime-routes.ts';

const loopbackNames: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '[::1]']);

/**
 * Pages of these routes for browsers that have come by another name of this machine than the public URL has: they are sent
 * on to the public one, since cookies of `localhost` are none of `127.0.0.1`. Between the names of loopback alone, and
 * always to the public URL: nobody is sent anywhere by what a Host says.
 */
export function byPublicName(publicUrl: string, routes: readonly RuntimeRoute[]): readonly RuntimeRoute[] {
  const { protocol, hostname, port } = new URL(publicUrl);
  if (!loopbackNames.has(hostname)) return routes;
  const onwardOf = ({ headers, url = '/' }: EdgeRequest, info: EdgeInfo): string | null => {
    // Programs keep cookies as they like, and a proxy has a name of its own for us.
    if (headers['sec-fetch-mode'] !== 'navigate') return null;
    if (info.isFromTrustedProxy || headers['x-forwarded-host'] !== undefined) return null;
    const come = URL.parse(`${protocol}//${headers.host ?? ''}`);
    if (come === null || come.hostname === hostname) return null;
    return loopbackNames.has(come.hostname) && come.port === port ? publicUrl + url : null;
  };
  return routes.map((route) => {
    const { GET: get, ...others } = route.methods;
    return get === undefined ? route : { ...route, methods: { ...others, GET: sending(get, onwardOf) } };
  });
}

function sending(
  endpoint: EdgeEndpoint | RawEndpoint,
  onwardOf: (request: EdgeRequest, info: EdgeInfo) => string | null,
): EdgeEndpoint | RawEndpoint {
  if (!isRawEndpoint(endpoint))
    return {
      handle: async (request, info, headers) => {
        const onward = onwardOf(request, info);
        return onward === null ? endpoint.handle(request, info, headers) : redirect(onward, info, headers);
      },
    };
  return {
    isRaw: true,
    handleRaw: async (request: IncomingMessage, response: ServerResponse, info: EdgeInfo) => {
      const onward = onwardOf(request, info);
      if (onward === null) return endpoint.handleRaw(request, response, info);
      const headers: string[] = [];
      writeAnswer(response, headers, redirect(onward, info, headers));
    },
  };
}

function redirect(location: string, info: EdgeInfo, headers: string[]): EdgeAnswer {
  headers.push('X-Request-Id', info.id, 'Location', location, 'Referrer-Policy', 'no-referrer');
  return { status: 303 };
}
