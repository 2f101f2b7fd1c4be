import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { renderSettingsDocs, settingsPage } from '../../scripts/settings-docs.ts';
import { clientVariables, settingsTable } from '../src/settings.ts';

test('the page of settings is what the table of settings makes', () => {
  expect(readFileSync(settingsPage, 'utf8')).toBe(renderSettingsDocs());
});

test('the page names every variable', () => {
  for (const { variable } of [...settingsTable, ...clientVariables]) {
    expect(renderSettingsDocs()).toContain(`\`${variable}\``);
  }
});
