import { readFile, writeFile } from 'node:fs/promises';
import { routes } from '../app.ts';
import { createOpenApiDocument } from '../openapi/document.ts';

/** Prints the OpenAPI document, writes it to a file, or fails (exit code 1) when a file is no longer what the routes make. */
export async function openapiCommand({ out, check }: { out?: string; check?: string }): Promise<void> {
  const text = `${JSON.stringify(createOpenApiDocument(routes), null, 2)}\n`;
  if (check !== undefined) {
    if ((await readFile(check, 'utf8')) === text) return;
    process.stderr.write(`${check} differs from what the routes make. Run: npm run openapi\n`);
    process.exitCode = 1;
  } else if (out === undefined) process.stdout.write(text);
  else await writeFile(out, text);
}
