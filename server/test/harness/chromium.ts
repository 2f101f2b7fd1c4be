import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import packedChromium, { inflate } from '@sparticuz/chromium';
import { type Browser, chromium } from 'playwright-core';

const packageDirectory = join(dirname(createRequire(import.meta.url).resolve('@sparticuz/chromium')), '..');
const cacheDirectory = join(import.meta.dirname, '../../../node_modules/.cache');

/**
 * Starts a real Chromium without a window; close it when the tests are done. It needs nothing of the machine but the
 * C library: what else it is linked with (NSS, NSPR, expat) and fonts come with the package. Its pages are kept from
 * each other as in any browser, which is what tests of CORS are about; the package's own arguments would switch that off.
 */
export async function launchChromium(): Promise<Browser> {
  const directory = await unpackOnce();
  const { LD_LIBRARY_PATH: libraries, ...env } = process.env;
  return chromium.launch({
    executablePath: join(directory, 'chromium'),
    // The sandbox refuses root, which containers are.
    args: ['--no-sandbox'],
    env: {
      ...env,
      LD_LIBRARY_PATH: [join(directory, 'al2023/lib'), libraries].filter(Boolean).join(':'),
      ...(existsSync('/etc/fonts/fonts.conf') ? {} : { FONTCONFIG_FILE: join(directory, 'fonts.conf') }),
    },
  });
}

/**
 * The directory of the unpacked browser. Unpacking takes some seconds, so it is done once for each version: into a
 * directory of this run's own, then renamed, so that no other process meets half a browser. The package itself would
 * share /tmp/chromium with every user of the machine, and run whatever somebody has put there.
 */
async function unpackOnce(): Promise<string> {
  const { version } = JSON.parse(await readFile(join(packageDirectory, 'package.json'), 'utf8'));
  const directory = join(cacheDirectory, `chromium-${version}`);
  if (existsSync(directory)) return directory;
  await mkdir(cacheDirectory, { recursive: true });
  const unfinished = await mkdtemp(`${directory}-`);
  try {
    await unpackInto(unfinished);
    await writeFile(join(unfinished, 'fonts.conf'), fontsConfiguration(directory));
    await rename(unfinished, directory);
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true });
    // Another process was quicker.
    if (!existsSync(directory)) throw error;
  }
  return directory;
}

/** The package's own names directories of the cloud that it was made for. */
function fontsConfiguration(directory: string): string {
  return `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>${directory}/fonts/fonts</dir>
  <cachedir>${directory}/fonts-cache</cachedir>
</fontconfig>
`;
}

/** The package unpacks into the directory for temporary files, wherever that is. */
async function unpackInto(directory: string): Promise<void> {
  const { TMPDIR: usual } = process.env;
  process.env.TMPDIR = directory;
  try {
    await Promise.all([
      packedChromium.executablePath(),
      inflate(join(packageDirectory, 'bin/al2023.tar.br')),
    ]);
  } finally {
    if (usual === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = usual;
  }
}
