import { createServer } from 'node:http';
import { auth } from './better-auth.js';

/** The job of `POST /v1/keys/verify`: takes `{ key }` and answers what `verifyApiKey` says. No caller is asked who it is. */
const server = createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', async () => {
    const { key } = JSON.parse(Buffer.concat(chunks).toString());
    const body = JSON.stringify(await auth.api.verifyApiKey({ body: { key } }));
    response.writeHead(200, {
      'Content-Type': 'application/json',
      'Content-Length': Buffer.byteLength(body),
    });
    response.end(body);
  });
});
server.listen(0, '127.0.0.1', () => process.send(server.address().port));
process.once('disconnect', () => process.exit(0));
