import { connect } from 'node:net';

/** What a gate counted: how many passed, and how many were told to come back. */
export interface GateCount {
  admitted: number;
  limited: number;
  others: string[];
}

/**
 * Sends these requests over so many connections, each the next one as soon as its answer is there.
 *
 * @param next makes the raw request that is sent as the so-many-th; null ends it
 */
export async function sendOver(
  url: string,
  connections: number,
  next: () => string | null,
): Promise<GateCount> {
  const count: GateCount = { admitted: 0, limited: 0, others: [] };
  const { port } = new URL(url);
  const one = () =>
    new Promise<void>((resolve, reject) => {
      const socket = connect(Number(port), '127.0.0.1');
      let text = '';
      const send = () => {
        const request = next();
        if (request === null) socket.end();
        else socket.write(request, 'latin1');
      };
      socket.setNoDelay(true);
      socket.on('connect', send);
      socket.on('data', (chunk: Buffer) => {
        text += chunk.toString('latin1');
        const headEnd = text.indexOf('\r\n\r\n');
        if (headEnd === -1) return;
        const length = Number(/\r\ncontent-length: (\d+)/i.exec(text.slice(0, headEnd))?.[1]);
        if (text.length < headEnd + 4 + length) return;
        note(count, text);
        text = '';
        send();
      });
      socket.on('error', reject);
      socket.on('close', () => resolve());
    });
  await Promise.all(Array.from({ length: connections }, one));
  return count;
}

function note(count: GateCount, text: string): void {
  const status = text.slice(9, 12);
  const code = /"code":"([A-Z_]+)"/.exec(text)?.[1];
  if (status === '200' && (code === undefined || code === 'VALID')) count.admitted++;
  else if (status === '429' || code === 'RATE_LIMITED') count.limited++;
  else count.others.push(text);
}
