import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { expect, it } from 'vitest';
import { attentiveDelay } from './attentive-delay.ts';

it('ends only after what had come while the process was held up has been read', async () => {
  const server = createServer((socket) => socket.on('data', () => socket.write('answer'))).listen(
    0,
    '127.0.0.1',
  );
  await once(server, 'listening');
  const socket = connect((server.address() as { port: number }).port, '127.0.0.1');
  await once(socket, 'connect');
  const waiting = attentiveDelay(100);
  let isAnswered = false;
  socket.on('data', () => {
    isAnswered = true;
  });
  socket.write('question');
  for (const end = performance.now() + 400; performance.now() < end; );
  await waiting;
  expect(isAnswered).toBe(true);
  socket.destroy();
  server.close();
});
