import { createServer } from 'node:http';

/**
 * The floor: a bare node:http server that reads and parses the same body and answers the same bytes. Nothing that
 * verifies a key over HTTP on this runtime can be quicker.
 */
const headers: string[] = JSON.parse(process.argv[2] ?? '[]') as string[];
const body = process.argv[3] ?? '';

const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const parsed = JSON.parse(Buffer.concat(chunks).toString()) as { key?: string };
    if (typeof parsed.key !== 'string') throw new Error('not the body of the benchmark');
    response.writeHead(200, [...headers, 'Content-Length', String(Buffer.byteLength(body))]);
    response.end(body);
  });
});
server.listen(0, '127.0.0.1', () => {
  process.send?.((server.address() as { port: number }).port);
});
process.once('disconnect', () => process.exit(0));
