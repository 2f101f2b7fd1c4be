import { type IncomingMessage, request as requestHttp, type ServerResponse } from 'node:http';
import type { Spoiled, Variation } from './mutant.ts';
import { readForm, type WireAnswer, type WireRequest } from './wire.ts';

/** What stands before a provider: the provider's own port, and what is other about it. */
export interface Front {
  readonly port: number;
  readonly spoiled: Spoiled;
  readonly variation: Variation | undefined;
}

/** Hands a request on to the provider and its answer back, each past what varies it. */
export async function serve(
  incoming: IncomingMessage,
  response: ServerResponse,
  front: Front,
): Promise<void> {
  const { variation, spoiled } = front;
  const request = await readRequest(incoming, spoiled.issuer);
  const instead = await variation?.request?.(request, spoiled);
  const answer = instead ?? (await forward(request, front.port));
  await variation?.answer?.(answer, request, spoiled);
  const { 'content-length': _length, ...headers } = answer.headers;
  const cookies = answer.cookies.length > 0 ? { 'set-cookie': [...answer.cookies] } : {};
  response.writeHead(answer.status, { ...headers, ...cookies }).end(answer.body);
}

async function readRequest(incoming: IncomingMessage, issuer: string): Promise<WireRequest> {
  const form = await readForm(incoming);
  const isForm = incoming.headers['content-type']?.includes('form-urlencoded') ?? false;
  const headers = Object.entries(incoming.headers).map(([name, value]) => [name, String(value)]);
  return {
    method: incoming.method!,
    url: new URL(incoming.url!, issuer),
    headers: Object.fromEntries(headers) as Record<string, string>,
    form: isForm ? form : undefined,
  };
}

/** Sends a request on, under the host name by which it came. */
function forward({ method, url, headers, form }: WireRequest, port: number): Promise<WireAnswer> {
  const body = form?.toString();
  const sent = { ...headers };
  delete sent.connection;
  delete sent['content-length'];
  if (body !== undefined) sent['content-length'] = String(Buffer.byteLength(body));
  return new Promise((resolve, reject) => {
    const path = `${url.pathname}${url.search}`;
    const request = requestHttp({ host: '127.0.0.1', port, method, path, headers: sent }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => resolve(toWireAnswer(response, Buffer.concat(chunks).toString('utf8'))));
    });
    request.on('error', reject);
    request.end(body);
  });
}

const hopByHop = new Set(['connection', 'keep-alive', 'transfer-encoding']);

function toWireAnswer({ statusCode, headers }: IncomingMessage, body: string): WireAnswer {
  const { 'set-cookie': cookies = [], ...others } = headers;
  const kept = Object.entries(others).filter(([name]) => !hopByHop.has(name));
  const fields = kept.map(([name, value]) => [name, String(value)]);
  return {
    status: statusCode!,
    headers: Object.fromEntries(fields) as Record<string, string>,
    cookies,
    body,
  };
}
