#!/usr/bin/env node
import { enableCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';

// Beside the code and not in the shared /tmp, where another user could plant compiled code for us to run. Everything
// else is imported after this line, because only what is imported later comes from the cache.
enableCompileCache(fileURLToPath(new URL('../../node_modules/.cache/gatelodge', import.meta.url)));

const { runCommandLine } = await import('./supervisor/command-line.ts');
await runCommandLine(process.argv);
