import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import {
  chmod,
  chown,
  copyFile,
  cp,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  writeFile,
} from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { testCertificate } from './certificate.ts';
import { type DeliveredMail, parseMail } from './delivered-mail.ts';
import { freePort, repositoryRoot, waitFor } from './process.ts';

const run = promisify(execFile);
const installed = join(repositoryRoot, 'node_modules/.cache/gatelodge-mail-server');

/** Exim runs as nobody where the tests run as root, which it refuses to deliver as. */
const unprivileged = process.geteuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : null;

export interface MailServerOptions {
  /** Whether it offers STARTTLS, and then AUTH only behind it; it does unless told otherwise. */
  startTls?: boolean;
  /** How a client may sign in; in both ways unless told otherwise. */
  authentication?: readonly ('PLAIN' | 'LOGIN')[];
}

/**
 * A real mail server (Exim, as Debian packs it) as a process of its own, on a free port of 127.0.0.1. It delivers every mail
 * whose sender has signed in, but for two local parts: `refused@…` is refused for good, `later@…` for now.
 */
export class MailServer implements AsyncDisposable {
  readonly port: number;
  /** Of the authority that its certificate, for `localhost`, is checked against. */
  readonly caFile: string;
  readonly #directory: string;
  readonly #libraries: string;
  #child: ChildProcess | undefined;

  static async start(options: MailServerOptions = {}): Promise<MailServer> {
    await installMailServer();
    const directory = await mkdtemp(join(tmpdir(), 'gatelodge-mail-'));
    const server = new MailServer(directory, await freePort());
    await server.#prepare(options);
    await server.startAgain();
    return server;
  }

  private constructor(directory: string, port: number) {
    this.#directory = directory;
    this.#libraries = join(directory, 'lib');
    this.port = port;
    this.caFile = join(directory, 'ca.pem');
  }

  /** For SMTP_URL. */
  url({ user = 'gatelodge', password = 'a p@ss:word', tls = 'required' } = {}): string {
    const credentials = `${encodeURIComponent(user)}:${encodeURIComponent(password)}`;
    return `smtp://${credentials}@localhost:${this.port}?tls=${tls}`;
  }

  /** The settings of a Gatelodge that sends its mails by this server. */
  get env(): Record<string, string> {
    return {
      SMTP_URL: this.url(),
      SMTP_CA_FILE: this.caFile,
      MAIL_FROM: 'Gatelodge of the tests <no-reply@gatelodge.test>',
    };
  }

  /** What has been delivered to an address so far, in the order in which it came. */
  async mailsTo(address: string): Promise<DeliveredMail[]> {
    return (await this.mails()).filter(({ envelopeTo }) => envelopeTo.includes(address.toLowerCase()));
  }

  /** Waits until so many mails have been delivered to an address, and answers them. */
  waitForMails(address: string, count = 1): Promise<DeliveredMail[]> {
    return waitFor(async () => {
      const mails = await this.mailsTo(address);
      return mails.length >= count ? mails : null;
    });
  }

  /** Everything that has been delivered so far. */
  async mails(): Promise<DeliveredMail[]> {
    const folder = join(this.#directory, 'maildir/new');
    const names = existsSync(folder) ? await readdir(folder) : [];
    const mails = await Promise.all(
      names.map(async (name) => parseMail(await readFile(join(folder, name), 'utf8'), deliveredAtMs(name))),
    );
    return mails.sort((a, b) => a.deliveredAtMs - b.deliveredAtMs);
  }

  /** What it has written down of its connections and mails. */
  log(): Promise<string> {
    return readFile(join(this.#directory, 'log/mainlog'), 'utf8').catch(() => '');
  }

  /** Nobody listens any more; mails it has taken stay. */
  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGTERM');
    await once(child, 'exit');
  }

  /** On the same port as before. */
  async startAgain(): Promise<void> {
    const child = spawn(join(this.#directory, 'exim4'), ['-C', join(this.#directory, 'exim.conf'), '-bdf'], {
      ...unprivileged,
      cwd: this.#directory,
      stdio: ['ignore', 'ignore', 'pipe'],
      env: {
        PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
        LD_LIBRARY_PATH: this.#libraries,
        LD_PRELOAD: join(this.#libraries, 'libnss_wrapper.so'),
        NSS_WRAPPER_PASSWD: join(this.#directory, 'passwd'),
        NSS_WRAPPER_GROUP: join(this.#directory, 'group'),
      },
    });
    this.#child = child;
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    await waitFor(async () => {
      if (child.exitCode !== null) throw new Error(`Exim ended: ${said}`);
      return (await accepts(this.port)) || null;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await rm(this.#directory, { recursive: true, force: true });
  }

  async #prepare({ startTls = true, authentication = ['PLAIN', 'LOGIN'] }: MailServerOptions): Promise<void> {
    const at = (name: string) => join(this.#directory, name);
    // A copy, since nobody may not be able to reach where the repository is.
    await copyFile(join(installed, 'usr/sbin/exim4'), at('exim4'));
    await chmod(at('exim4'), 0o755);
    await cp(libraryDirectory(), this.#libraries, { recursive: true, verbatimSymlinks: true });
    const { uid, gid } = unprivileged ?? { uid: process.getuid!(), gid: process.getgid!() };
    const files: Record<string, string> = {
      passwd: `Debian-exim:x:${uid}:${gid}::/nonexistent:/bin/false\n`,
      group: `Debian-exim:x:${gid}:\n`,
      'key.pem': testCertificate.key,
      'ca.pem': testCertificate.cert,
      'exim.conf': configuration(this.#directory, this.port, { startTls, authentication }),
    };
    for (const [name, content] of Object.entries(files)) await writeFile(at(name), content, { mode: 0o644 });
    for (const name of ['spool', 'log', 'maildir']) await mkdir(at(name));
    if (unprivileged === null) return;
    await chmod(this.#directory, 0o755);
    for (const name of ['exim.conf', 'key.pem', 'spool', 'log', 'maildir']) await chown(at(name), uid, gid);
  }
}

/** Fetches Exim on first need, without root and without a change to the system; seconds, then nothing. */
export async function installMailServer(): Promise<string> {
  const script = join(repositoryRoot, 'scripts/install-mail-server.sh');
  await run('bash', [script, installed]).catch((error: Error & { stderr?: string }) => {
    throw new Error(error.stderr || error.message, { cause: error });
  });
  return join(installed, 'usr/sbin/exim4');
}

/** Debian has a directory for each architecture: x86_64-linux-gnu, aarch64-linux-gnu. */
function libraryDirectory(): string {
  const below = join(installed, 'usr/lib');
  const name = readdirSync(below).find((entry) => existsSync(join(below, entry, 'libnss_wrapper.so')));
  if (name === undefined) throw new Error(`no libraries in ${below}; remove ${installed} and try again`);
  return join(below, name);
}

/** A maildir names its files by second and microsecond. */
function deliveredAtMs(name: string): number {
  const [, seconds, micros] = /^(\d+)\.M(\d+)/.exec(name) ?? [];
  return Number(seconds) * 1000 + Number(micros) / 1000;
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

function configuration(
  directory: string,
  port: number,
  { startTls, authentication }: Required<MailServerOptions>,
): string {
  const behindTls = startTls ? `\${if eq{$tls_in_cipher}{}{no}{yes}}` : 'yes';
  const isRight = (user: string, password: string) =>
    `\${if and{{eq{${user}}{gatelodge}}{eq{${password}}{a p@ss:word}}}}`;
  const authenticators = {
    PLAIN: `plain:
  driver = plaintext
  public_name = PLAIN
  server_condition = ${isRight('$auth2', '$auth3')}
  server_set_id = $auth2
  server_advertise_condition = ${behindTls}
`,
    LOGIN: `login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = <| Username: | Password:
  server_condition = ${isRight('$auth1', '$auth2')}
  server_set_id = $auth1
  server_advertise_condition = ${behindTls}
`,
  };
  return `exim_path = ${directory}/exim4
keep_environment = ^LD_ : ^NSS_WRAPPER
spool_directory = ${directory}/spool
log_file_path = ${directory}/log/%slog
pid_file_path = ${directory}/exim.pid
primary_hostname = mail.test
local_interfaces = 127.0.0.1
daemon_smtp_ports = ${port}
never_users =
deliver_drop_privilege = true
host_lookup =
smtp_accept_max = 100
tls_advertise_hosts = ${startTls ? '*' : ''}
tls_certificate = ${directory}/ca.pem
tls_privatekey = ${directory}/key.pem
acl_smtp_rcpt = check_recipient

begin acl

check_recipient:
  deny    local_parts = refused
          message     = there is no mailbox <$local_part@$domain>
  defer   local_parts = later
          message     = come back later, <$local_part@$domain>
  accept  authenticated = *
  deny    message = relay not permitted

begin routers

everything:
  driver = accept
  transport = maildir

begin transports

maildir:
  driver = appendfile
  maildir_format
  directory = ${directory}/maildir
  envelope_to_add
  return_path_add

begin authenticators

${authentication.map((name) => authenticators[name]).join('\n')}`;
}
