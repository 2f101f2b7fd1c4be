import { readFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { runAs } from './run-as.ts';
import { StartError } from './start-error.ts';

/** An account of the operating system that has a passwd entry: Postgres and initdb refuse one without. */
export type Account = {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  /** Whether it is the account that this process runs as. */
  readonly isSelf: boolean;
};

/** The account that root makes for Postgres. */
export const ownAccountName = 'gatelodge';

/**
 * The account that this process runs as.
 *
 * @throws {StartError} when it has no passwd entry, which peer authentication can't do without
 */
export function accountOfThisProcess(): Account {
  try {
    const { username, uid, gid } = userInfo();
    return { name: username, uid, gid, isSelf: true };
  } catch (cause) {
    throw new StartError(
      `The user that runs Gatelodge (uid ${process.geteuid?.()}) has no name on this machine.`,
      {
        hint: 'The embedded Postgres needs one: add the uid to /etc/passwd, run as a user who has an entry, or set DATABASE_URL to a Postgres of your own.',
        cause,
      },
    );
  }
}

/**
 * The account that the embedded Postgres runs as: our own, or, because Postgres refuses root, an unprivileged one
 * when we are root.
 *
 * Root takes the owner of what already exists (`ownerUid`) and else the system account `gatelodge`, made on first use.
 * The shared `nobody` is never taken: whatever else runs as it could read every key of the installation.
 *
 * @throws {StartError} when there is no such account and none can be made
 */
export async function accountForPostgres(ownerUid: number | undefined): Promise<Account> {
  const self = accountOfThisProcess();
  if (self.uid !== 0) return self;
  if (ownerUid === undefined || ownerUid === 0) return findOrMakeOwnAccount(self);
  const owner = await lookUp(self, String(ownerUid));
  if (owner) return owner;
  throw new StartError(`The existing data belongs to uid ${ownerUid}, which has no name on this machine.`, {
    hint: `Add an account of that uid (useradd --system --uid ${ownerUid} gatelodge), or give the data directory to an account that exists.`,
  });
}

async function findOrMakeOwnAccount(self: Account): Promise<Account> {
  let complaint = '';
  // Several attempts, because another start may be making the account at this moment and hold the lock of /etc/passwd.
  for (let attempt = 0; attempt < 10; attempt++) {
    const found = await lookUp(self, ownAccountName);
    if (found && found.uid !== 0) return found;
    const group = attempt % 2 === 0 ? ['--user-group'] : ['--gid', ownAccountName];
    const made = await runAs(self, 'useradd', [
      '--system',
      ...group,
      '--no-create-home',
      '--home-dir',
      '/nonexistent',
      '--shell',
      '/usr/sbin/nologin',
      ownAccountName,
    ]);
    if (made.code === 0) continue;
    complaint = made.stderr.trim();
    if (made.code === null) break;
    await sleep(100);
  }
  throw new StartError(
    `Postgres refuses to run as root, and no account could be made for it (useradd: ${complaint}).`,
    {
      hint: [
        'Do one of these:',
        `  make a system account named ${ownAccountName} (it needs no home and no shell) and start again;`,
        '  run Gatelodge as an ordinary user;',
        '  set DATABASE_URL to a Postgres of your own.',
      ].join('\n'),
    },
  );
}

/** By name or by uid; `getent` also knows accounts of directory services, where it exists. */
async function lookUp(self: Account, key: string): Promise<Account | undefined> {
  const local = await readFile('/etc/passwd', 'utf8').catch(() => '');
  const match = findEntry(local, key);
  if (match) return match;
  const asked = await runAs(self, 'getent', ['passwd', key]);
  return findEntry(asked.stdout, key);
}

function findEntry(passwd: string, key: string): Account | undefined {
  for (const line of passwd.split('\n')) {
    const [name, , uid, gid] = line.split(':');
    if (!name || !uid || !gid) continue;
    if (name === key || uid === key) return { name, uid: Number(uid), gid: Number(gid), isSelf: false };
  }
  return undefined;
}
