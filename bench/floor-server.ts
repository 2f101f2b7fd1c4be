import { createServer } from 'node:http';

/**
 * The floor: a bare node:http server that reads and parses the same body, or looks at the same header, and answers the
 * same bytes. Nothing that verifies a key over HTTP on this runtime can be quicker. What is public has no key to look at.
 */
const headers: string[] = JSON.parse(process.argv[2] ?? '[]') as string[];
const body = process.argv[3] ?? '';
const isPublic = process.argv[4] === 'public';
const head = [...headers, 'Content-Length', String(Buffer.byteLength(body))];

// As long as ours, so that the header which names it is.
const server = createServer({ keepAliveTimeout: 65_000 }, (request, response) => {
  const answer = (key: unknown) => {
    if (typeof key !== 'string') throw new Error('not the request of the benchmark');
    response.writeHead(200, head);
    response.end(body);
  };
  if (request.method === 'GET') {
    answer(isPublic ? request.url : request.headers['x-api-key']);
    return;
  }
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => answer((JSON.parse(Buffer.concat(chunks).toString()) as { key?: unknown }).key));
});
server.listen(0, '127.0.0.1', () => {
  process.send?.((server.address() as { port: number }).port);
});
process.once('disconnect', () => process.exit(0));
