import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { repositoryRoot } from '../harness/process.ts';

const run = promisify(execFile);
const cacheDirectory = join(repositoryRoot, 'node_modules/.cache');

let installation: Promise<string> | undefined;

/** The node_modules of the relying parties, which no part of the workspace is. Installed on first need. */
export function relyingPartyModules(): Promise<string> {
  installation ??= installInto(cacheDirectory);
  return installation;
}

/**
 * What the lockfile beside this names, into a directory that is called after it: installed in one of this run's own and then
 * renamed, so that no other process meets half of it.
 *
 * @throws Error that says what to do where there is no registry to be reached
 */
export async function installInto(cache: string, env: NodeJS.ProcessEnv = process.env): Promise<string> {
  const lock = join(import.meta.dirname, 'package-lock.json');
  const digest = createHash('sha256')
    .update(await readFile(lock))
    .digest('hex')
    .slice(0, 16);
  const directory = join(cache, `gatelodge-relying-parties-${digest}`);
  const modules = join(directory, 'node_modules');
  if (existsSync(directory)) return modules;
  await mkdir(cache, { recursive: true });
  const unfinished = await mkdtemp(`${directory}.`);
  try {
    for (const name of ['package.json', 'package-lock.json'])
      await cp(join(import.meta.dirname, name), join(unfinished, name));
    const options = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
    await run('npm', options, { cwd: unfinished, env, timeout: 240_000 }).catch(asAdvice);
    await rename(unfinished, directory);
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true });
    // Another process was quicker.
    if (!existsSync(directory)) throw error;
  }
  return modules;
}

function asAdvice(error: Error & { stderr?: string }): never {
  throw new Error(
    'npm could not install the relying parties of server/test/relying-parties/package-lock.json. Is there a network, and does npm' +
      ' reach its registry? Elsewhere leave these tests out:\n' +
      '  npx vitest run --exclude "server/test/relying-parties/**"\n' +
      `It says: ${error.stderr || error.message}`,
    { cause: error },
  );
}

/** The guide whose snippets these tests run. */
export const readGuide = () => readFile(join(repositoryRoot, 'docs/relying-parties.md'), 'utf8');

/**
 * A snippet of docs/relying-parties.md with this run's values where it has its samples.
 *
 * @param name as the comment before the snippet has it
 * @param values by sample; each has to stand in the snippet
 */
export async function snippetOf(name: string, values: Readonly<Record<string, string>>): Promise<string> {
  const guide = await readGuide();
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
  const place = join(dirname(await relyingPartyModules()), 'snippets');
  await mkdir(place, { recursive: true });
  const file = join(place, `${process.pid}-${++lastModule}.mjs`);
  await writeFile(file, javascript);
  try {
    return (await import(/* @vite-ignore */ pathToFileURL(file).href)) as Exports;
  } finally {
    await rm(file);
  }
}
