import { insertApiKey } from '../api-keys/create-api-key.ts';
import { insertEvent } from '../events/event-store.ts';
import { idPrefixes, newId } from '../ids/ids.ts';
import { insertIssuer } from '../issuers/create-issuer.ts';
import { type KeyProfile, type PresetName, presetNames } from '../key-profiles/key-profile.ts';
import { presets } from '../key-profiles/presets.ts';
import type { Transaction } from '../postgres/database.ts';
import type { Services } from '../services.ts';

/** An issuer with one of the presets, a tenant, and keys to try it with. */
export interface Demo {
  preset: PresetName;
  issuer_id: string;
  organization: { id: string; external_id: string };
  /** The first header a key of this profile may come in. */
  key_header: string;
  tenant_header: string | null;
  keys: { live: DemoKey; sandbox: DemoKey };
}

interface DemoKey {
  id: string;
  secret: string;
}

const scopes = ['invoices:read'];

/** Makes one issuer for each preset, each with an organization that has a live and a sandbox key. */
export async function createDemos(services: Services, tx: Transaction, accountId: string): Promise<Demo[]> {
  const demos: Demo[] = [];
  for (const preset of presetNames) demos.push(await createDemo(services, tx, accountId, presets[preset]));
  return demos;
}

async function createDemo(
  services: Services,
  tx: Transaction,
  accountId: string,
  profile: KeyProfile,
): Promise<Demo> {
  const now = services.clock.now();
  const context = {
    accountId,
    actor: { type: 'system', id: 'demo', ip: null, user_agent: null },
    requestId: null,
  } as const;
  const issuerId = await insertIssuer(
    tx,
    services.secrets,
    { accountId, name: `demo ${profile.preset}`, environment: 'live', profile },
    now,
  );
  await insertEvent(tx, context, {
    type: 'issuer.created',
    subject: { type: 'issuer', id: issuerId },
    environment: 'live',
    issuerId,
  });
  const organization = { id: newId(idPrefixes.organization), external_id: 'tenant_abc123' };
  await tx
    .insertInto('organizations')
    .values({ ...organization, account_id: accountId, issuer_id: issuerId, name: 'Demo tenant', plan: null })
    .execute();
  await insertEvent(tx, context, {
    type: 'organization.created',
    subject: { type: 'organization', id: organization.id },
    environment: 'live',
    issuerId,
    organizationId: organization.id,
  });
  const createKey = async (environment: 'live' | 'sandbox'): Promise<DemoKey> => {
    const { row, secret } = await insertApiKey(
      tx,
      services.secrets,
      {
        place: {
          accountId,
          issuer: { id: issuerId, environment: 'live', publishableScopes: [] },
          organizationId: organization.id,
        },
        profile,
        name: `demo ${environment} key`,
        kind: 'secret',
        environment,
        scopes,
        expiresAt: null,
        createdBy: { type: 'system', id: 'demo' },
      },
      now,
    );
    await insertEvent(tx, context, {
      type: 'api-key.created',
      subject: { type: 'api_key', id: row.id },
      environment,
      issuerId,
      organizationId: organization.id,
    });
    return { id: row.id, secret };
  };
  return {
    preset: profile.preset,
    issuer_id: issuerId,
    organization,
    key_header: profile.key_headers[0]!,
    tenant_header: profile.tenant_header?.name ?? null,
    keys: { live: await createKey('live'), sandbox: await createKey('sandbox') },
  };
}
