import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { repositoryRoot } from '../harness/process.ts';

const run = promisify(execFile);
const directory = import.meta.dirname;
const modules = join(directory, 'node_modules');
/** Of the last installation: what was installed then. */
const stamp = join(modules, '.gatelodge-lock.json');

let installation: Promise<void> | undefined;

/** Where the packages of the relying parties are, which no part of the workspace is. Installs them on first need. */
export async function relyingPartyModules(): Promise<string> {
  installation ??= install();
  await installation;
  return modules;
}

async function install(): Promise<void> {
  const lock = await readFile(join(directory, 'package-lock.json'), 'utf8');
  if (existsSync(stamp) && (await readFile(stamp, 'utf8')) === lock) return;
  const command = 'npm ci --prefix server/test/relying-parties';
  const options = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  // Two files of a run may both be first. One waits for the other's lock as long as an installation takes.
  await run('flock', [join(repositoryRoot, 'node_modules/.relying-parties.lock'), 'npm', 'ci', ...options], {
    cwd: directory,
    timeout: 240_000,
  }).catch((error: Error & { stderr?: string }) => {
    throw new Error(
      `The relying parties that these tests sign in with could not be installed by\n  ${command}\n` +
        'Is there a network, or a registry in .npmrc? Elsewhere leave them out:\n' +
        `  npx vitest run --exclude "server/test/relying-parties/**"\nnpm says: ${error.stderr || error.message}`,
      { cause: error },
    );
  });
  await writeFile(`${stamp}.new`, lock);
  await rename(`${stamp}.new`, stamp);
}

const guideFile = join(repositoryRoot, 'docs/relying-parties.md');

/**
 * A snippet of docs/relying-parties.md with this run's values where it has its samples.
 *
 * @param name as the comment before the snippet has it
 * @param values by sample; each has to stand in the snippet
 */
export async function snippetOf(name: string, values: Readonly<Record<string, string>>): Promise<string> {
  const guide = await readFile(guideFile, 'utf8');
  const snippet = new RegExp(`<!-- ${name} -->\n\`\`\`\\w+\n(.*?)\`\`\``, 's').exec(guide)?.[1];
  if (snippet === undefined) throw new Error(`docs/relying-parties.md has no snippet ${name}`);
  return Object.entries(values).reduce((text, [sample, value]) => {
    if (!text.includes(sample)) throw new Error(`the snippet ${name} does not show ${sample}`);
    return text.replaceAll(sample, value);
  }, snippet);
}

let lastModule = 0;

/** Runs JavaScript as a module that imports what the relying parties are made of. Answers what it exports. */
export async function importSnippet<Exports>(javascript: string): Promise<Exports> {
  const place = join(await relyingPartyModules(), '.snippets');
  await mkdir(place, { recursive: true });
  const file = join(place, `${process.pid}-${++lastModule}.mjs`);
  await writeFile(file, javascript);
  try {
    return (await import(/* @vite-ignore */ pathToFileURL(file).href)) as Exports;
  } finally {
    await rm(file);
  }
}
