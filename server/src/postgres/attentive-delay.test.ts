import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { expect, it } from 'vitest';
import { answerWithin } from './attentive-delay.ts';

it('an answer that came while the process was held up is no silence', async () => {
  const server = createServer((socket) => socket.on('data', () => socket.write('answer'))).listen(
    0,
    '127.0.0.1',
  );
  await once(server, 'listening');
  const socket = connect((server.address() as { port: number }).port, '127.0.0.1');
  await once(socket, 'connect');
  const answer = once(socket, 'data').then(([bytes]) => String(bytes));
  socket.write('question');
  const waiting = answerWithin(100, answer, 'silence');
  for (const end = performance.now() + 400; performance.now() < end; );
  expect(await waiting).toBe('answer');
  socket.destroy();
  server.close();
});

it('silence is silence, also of somebody who would have answered later', async () => {
  const late = new Promise<string>((resolve) => setTimeout(resolve, 200, 'late'));
  expect(await answerWithin(50, late, 'silence')).toBe('silence');
  expect(await answerWithin(400, late, 'silence')).toBe('late');
});
