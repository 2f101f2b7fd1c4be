import { createServer } from 'node:http';
import pg from 'pg';

/**
 * One look-up by primary key, over the same driver and a pool like that of verification, for `POST {"id"}`; and how long
 * the look-ups alone have taken since it was last asked, in milliseconds, over the channel.
 */
const pool = new pg.Pool({
  connectionString: process.env.DATABASE_URL,
  max: 6,
  min: 2,
  idleTimeoutMillis: 60_000,
});
let took: number[] = [];

const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const { id } = JSON.parse(Buffer.concat(chunks).toString()) as { id: string };
    void find(id).then((row) => {
      const body = JSON.stringify(row);
      response.writeHead(200, {
        'Content-Type': 'application/json',
        'Content-Length': Buffer.byteLength(body),
      });
      response.end(body);
    });
  });
});

async function find(id: string): Promise<unknown> {
  const startedAt = performance.now();
  const { rows } = await pool.query({
    name: 'by-primary-key',
    text: 'select * from gatelodge.api_keys where id = $1',
    values: [id],
  });
  took.push(performance.now() - startedAt);
  return rows[0];
}

process.on('message', () => {
  process.send?.(took);
  took = [];
});
server.listen(0, '127.0.0.1', () => {
  process.send?.((server.address() as { port: number }).port);
});
process.once('disconnect', () => process.exit(0));
