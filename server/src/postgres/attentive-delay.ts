import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises';

const stepMs = 25;

/** The answer, or `otherwise` when there is none after `ms` of a process that runs freely. */
export async function answerWithin<T>(ms: number, answer: Promise<T>, otherwise: T): Promise<T> {
  let isOver = false;
  const inTime = answer.finally(() => {
    isOver = true;
  });
  return Promise.race([inTime, attentiveDelay(ms, () => isOver).then(() => otherwise)]);
}

/**
 * Waits until this process has been there for so long to read what arrives, and has read it.
 *
 * After a process was held up its timers run first and what has arrived meanwhile is read only then. Whoever takes
 * silence for a sign has to wait like this, or takes their own lateness for somebody else's silence.
 *
 * @param ms time in which the process ran freely; while it is held up, hardly any of it passes
 * @param isOver asked every 25 ms; ends the wait for somebody who has the answer by now
 */
async function attentiveDelay(ms: number, isOver: () => boolean): Promise<void> {
  for (let left = ms; left > 0 && !isOver(); ) {
    const wantedMs = Math.min(left, stepMs);
    await delay(wantedMs, undefined, { ref: false });
    left -= wantedMs;
    // Timers that are due together run together, before anything is read; this comes after the reading.
    await turn();
  }
}
