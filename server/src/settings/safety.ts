import { existsSync } from 'node:fs';
import { sendsPasswordInTheClear } from '../mail/smtp-url.ts';
import { parseKeyText } from '../secrets/key-text.ts';
import { masterKeyPath } from '../secrets/master-key.ts';
import type { Settings } from '../settings.ts';
import { isLoopback } from './loopback.ts';
import type { SettingsProblem } from './settings-error.ts';

/** Whether a server shows its development pages, and which of its settings it refuses. */
export type Mode = 'development' | 'production';

/** The parts of the settings that decide the mode. */
export type Exposure = Pick<Settings, 'publicUrl' | 'trustedProxies'>;

/** Development only where nobody but this machine is addressed: a loopback public URL and no trusted proxy. */
export function deriveMode(exposure: Exposure): Mode {
  return isLoopback(exposure.publicUrl) && exposure.trustedProxies.length === 0
    ? 'development'
    : 'production';
}

/** Settings that are each well formed but must not stand together; an empty list means that the server may start. */
export function findUnsafeSettings(settings: Omit<Settings, 'unknownVariables'>): SettingsProblem[] {
  return [
    ...findIncomplete(settings),
    ...(settings.mode === 'development'
      ? findUnsafeInDevelopment(settings)
      : findUnsafeInProduction(settings)),
  ];
}

type Checked = Omit<Settings, 'unknownVariables'>;

function findIncomplete(settings: Checked): SettingsProblem[] {
  const problems: SettingsProblem[] = [];
  const together = (present: unknown, missing: unknown, variable: string, other: string) => {
    if (present && !missing) problems.push({ variable, problem: `is needed as ${other} is set` });
  };
  together(settings.tlsCert, settings.tlsKey, 'GATELODGE_TLS_KEY', 'GATELODGE_TLS_CERT');
  together(settings.tlsKey, settings.tlsCert, 'GATELODGE_TLS_CERT', 'GATELODGE_TLS_KEY');
  together(settings.databaseOwnerUrl, settings.databaseUrl, 'DATABASE_URL', 'DATABASE_OWNER_URL');
  together(settings.smtpUrl, settings.mailFrom, 'MAIL_FROM', 'SMTP_URL');
  together(settings.smtpCaFile, settings.smtpUrl, 'SMTP_URL', 'SMTP_CA_FILE');
  if (new URL(settings.publicUrl).port === '0') {
    problems.push({ variable: 'GATELODGE_PUBLIC_URL', problem: 'must be set where GATELODGE_PORT is 0' });
  }
  return problems;
}

/** Development pages and generated secrets are for one machine; forcing the mode elsewhere would publish them. */
function findUnsafeInDevelopment(settings: Checked): SettingsProblem[] {
  const variable = 'GATELODGE_MODE';
  const problems: SettingsProblem[] = [];
  if (!isLoopback(settings.publicUrl)) {
    problems.push({
      variable,
      problem: `cannot be development: GATELODGE_PUBLIC_URL ${settings.publicUrl} is not this machine; unset GATELODGE_MODE`,
    });
  }
  if (settings.trustedProxies.length > 0) {
    problems.push({
      variable,
      problem: 'cannot be development behind GATELODGE_TRUSTED_PROXIES; unset one of the two',
    });
  }
  return problems;
}

function findUnsafeInProduction(settings: Checked): SettingsProblem[] {
  const problems: SettingsProblem[] = [];
  const refuse = (variable: string, problem: string) => problems.push({ variable, problem });

  if (settings.masterKey === undefined) {
    refuse(
      'GATELODGE_MASTER_KEY',
      existsSync(masterKeyPath(settings.dataDir))
        ? `is required in production; the one of this data directory is in ${masterKeyPath(settings.dataDir)}`
        : 'is required in production; `gatelodge master-key generate` prints one, keep it apart from database backups',
    );
  }
  for (const [variable, text] of [
    ['GATELODGE_MASTER_KEY', settings.masterKey],
    ['GATELODGE_NEW_MASTER_KEY', settings.newMasterKey],
  ] as const) {
    if (text !== undefined && isPlaceholder(text)) {
      refuse(variable, 'is a placeholder; `gatelodge master-key generate` prints a random one');
    }
  }
  for (const [variable, url] of [
    ['GATELODGE_PUBLIC_URL', settings.publicUrl],
    ['GATELODGE_DASHBOARD_URL', settings.dashboardUrl],
  ] as const) {
    if (url.startsWith('http:') && !isLoopback(url)) {
      refuse(variable, `${url} must be https in production; end TLS here (GATELODGE_TLS_CERT) or at a proxy`);
    }
  }
  if (settings.smtpUrl !== undefined && sendsPasswordInTheClear(settings.smtpUrl)) {
    refuse(
      'SMTP_URL',
      'must not have tls=none together with a password: whoever is in between could read it; use smtps: or leave tls=none out',
    );
  }
  if (settings.trustedProxies.some(isEverything)) {
    refuse('GATELODGE_TRUSTED_PROXIES', 'must not name every address: anyone could then forge theirs');
  }
  if (settings.outboundAllow.some(isEverything)) {
    refuse(
      'GATELODGE_OUTBOUND_ALLOW',
      'must not name every address: outbound calls could then reach anything inside',
    );
  }
  return problems;
}

function isEverything(cidr: string): boolean {
  return cidr.endsWith('/0');
}

/** 32 random bytes hold fewer than 12 distinct values once in 10^20 tries; `AAAA…` and its kin always do. */
function isPlaceholder(keyText: string): boolean {
  const parsed = parseKeyText(keyText);
  return 'key' in parsed && new Set(parsed.key).size < 12;
}
