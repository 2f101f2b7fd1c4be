import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readCommandLine } from '../command-line.ts';

const complete = [
  ...['--issuer', 'https://op.example', '--client', 'one:se:cret', '--second-client', 'two:other'],
  ...['--redirect-uri', 'https://rp.example/cb', '--post-logout-redirect-uri', 'https://rp.example/bye'],
  ...['--mailbox', 'https://mail.example/box.json'],
];

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'conformance-'));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

describe('readCommandLine', () => {
  it('takes everything from options', async () => {
    const read = await readCommandLine([...complete, '--module', 'oidcc-server', '--module', 'x'], {});
    expect(read).toMatchObject({
      kind: 'run',
      modules: ['oidcc-server', 'x'],
      plans: [],
      config: {
        issuer: 'https://op.example',
        client: { clientId: 'one', clientSecret: 'se:cret', authMethod: 'client_secret_basic' },
        secondClient: {
          clientId: 'two',
          authMethod: 'client_secret_post',
          redirectUri: 'https://rp.example/cb',
        },
        codeReuseSeconds: 30,
      },
    });
  });

  it('takes what options leave out from a file', async () => {
    const file = join(directory, 'config.json');
    const client = { client_id: 'c', client_secret: 's', redirect_uri: 'https://own.example/cb' };
    await writeFile(
      file,
      JSON.stringify({ second_client: client, code_reuse_seconds: 2, code: { command: ['otp'] } }),
    );
    const options = complete.filter((_, index) => index !== 4 && index !== 5);
    const read = await readCommandLine(['--config', file, ...options], {});
    expect(read).toMatchObject({
      config: { codeReuseSeconds: 2, secondClient: { clientId: 'c', redirectUri: 'https://own.example/cb' } },
    });
  });

  it.each([
    [[], 'code'],
    [complete.slice(2), 'issuer'],
    [complete.filter((_, index) => index < 2 || index > 3), 'client'],
    [[...complete, '--client', 'nosecret'], 'ID:SECRET'],
    [[...complete, '--issuer', 'nonsense'], 'issuer is no URL'],
    [[...complete, '--nonsense'], '--nonsense'],
  ])('says what is missing or wrong in %j', async (args, message) => {
    await expect(readCommandLine(args, {})).rejects.toThrow(message);
  });

  it.each(['--help', '--list'])('%s needs nothing else', async (option) => {
    expect((await readCommandLine([option], {})).kind).toBe(option.slice(2));
  });
});
