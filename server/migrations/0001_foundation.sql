-- Accounts, issuers, organizations, API keys, events, and the look-ups that run before the account is known.
--
-- Every tenant table has row-level security on account_id. It is not forced: the owner (migrations) and the NOLOGIN
-- role gatelodge_lookup (the look-up functions at the end) have to see across accounts; the service's role,
-- gatelodge_app, is neither and sees only the account that its transaction has set.
--
-- Ids sort by time, and cursors rely on that order: COLLATE "C" keeps it byte by byte whatever the database's locale.

create function current_account() returns text
  language sql stable parallel safe
  -- An ended transaction leaves the empty string behind; it must mean "no account", not an account with an empty id.
  return nullif(current_setting('gatelodge.account_id', true), '');

-- ── Installation ────────────────────────────────────────────────────────────────────────────────────────────────

create table installation (
  singleton  boolean primary key default true check (singleton),
  id         text collate "C" not null,
  created_at timestamptz not null default now()
);

create table installation_secrets (
  purpose    text collate "C" not null,
  generation integer not null check (generation between 1 and 62),
  wrapped    bytea not null,
  created_at timestamptz not null default now(),
  retired_at timestamptz,
  primary key (purpose, generation)
);

-- ── Accounts ────────────────────────────────────────────────────────────────────────────────────────────────────

create table accounts (
  id            text collate "C" primary key,
  name          text not null,
  plan          text,
  status        text not null default 'active' check (status in ('active', 'suspended', 'deleting')),
  is_operator   boolean not null default false,
  deletion      jsonb,
  version       bigint not null default 1,
  created_at    timestamptz not null default now(),
  updated_at    timestamptz not null default now()
);
create unique index accounts_one_operator on accounts (is_operator) where is_operator;
create index accounts_deleting on accounts (id) where status = 'deleting';

create table account_members (
  account_id text collate "C" not null references accounts (id) on delete cascade,
  email      text not null,
  role       text not null check (role in ('owner', 'admin', 'viewer')),
  created_at timestamptz not null default now(),
  primary key (account_id, email)
);

create table support_grants (
  id             text collate "C" primary key,
  account_id     text collate "C" not null references accounts (id) on delete cascade,
  reason         text not null,
  created_by     jsonb not null,
  created_at     timestamptz not null default now(),
  expires_at     timestamptz not null,
  revoked_at     timestamptz,
  -- Beginning of the last hour in which it was used: the first use of each hour is an event, the others are not.
  last_used_hour timestamptz,
  version        bigint not null default 1
);
create index support_grants_by_account on support_grants (account_id, id desc);

-- ── Issuers and their key profiles ──────────────────────────────────────────────────────────────────────────────

create table issuers (
  id                 text collate "C" primary key,
  account_id         text collate "C" not null references accounts (id) on delete cascade,
  name               text not null,
  environment        text not null check (environment in ('live', 'sandbox')),
  status             text not null default 'active' check (status in ('active', 'suspended')),
  plan               text,
  publishable_scopes text[] not null default '{}',
  -- The live issuer whose sandbox twin this is. Deleting the live issuer deletes its twin.
  twin_of            text collate "C",
  -- Deleted, as far as anybody can tell: a job takes what hangs below it away in steps, and then the row.
  deleting           boolean not null default false,
  version            bigint not null default 1,
  created_at         timestamptz not null default now(),
  updated_at         timestamptz not null default now(),
  unique (account_id, id),
  foreign key (account_id, twin_of) references issuers (account_id, id) on delete cascade,
  check (twin_of is null or environment = 'sandbox')
);
create unique index issuers_one_twin on issuers (twin_of) where twin_of is not null;
create index issuers_deleting on issuers (id) where deleting;
create index issuers_by_account on issuers (account_id, id desc);
create index issuers_by_name on issuers (account_id, name collate "C", id);

create table key_profiles (
  issuer_id  text collate "C" primary key,
  account_id text collate "C" not null,
  profile    jsonb not null,
  version    bigint not null default 1,
  updated_at timestamptz not null default now(),
  foreign key (account_id, issuer_id) references issuers (account_id, id) on delete cascade
);

-- ── Organizations ───────────────────────────────────────────────────────────────────────────────────────────────

create table organizations (
  id          text collate "C" primary key,
  account_id  text collate "C" not null,
  issuer_id   text collate "C" not null,
  name        text not null,
  -- The account's own name for the tenant. It never looks like one of our ids, so one look-up can take either.
  external_id text collate "C" check (external_id !~ '^org_'),
  plan        text,
  metadata    jsonb not null default '{}',
  status      text not null default 'active' check (status in ('active', 'suspended')),
  version     bigint not null default 1,
  created_at  timestamptz not null default now(),
  updated_at  timestamptz not null default now(),
  unique (account_id, issuer_id, id),
  foreign key (account_id, issuer_id) references issuers (account_id, id) on delete cascade
);
create unique index organizations_external_id on organizations (issuer_id, external_id) where external_id is not null;
create index organizations_by_issuer on organizations (account_id, issuer_id, id desc);
create index organizations_by_name on organizations (account_id, issuer_id, name collate "C", id);

-- ── API keys ────────────────────────────────────────────────────────────────────────────────────────────────────

create table api_keys (
  id                text collate "C" primary key,
  account_id        text collate "C" not null references accounts (id) on delete cascade,
  issuer_id         text collate "C",
  organization_id   text collate "C",
  name              text not null,
  description       text,
  kind              text not null check (kind in ('secret', 'publishable')),
  environment       text not null check (environment in ('live', 'sandbox')),
  status            text not null default 'active' check (status in ('active', 'disabled', 'revoked')),
  hint              text not null,
  digest            bytea not null unique,
  digest_generation integer not null,
  check_generation  integer not null,
  -- null: every permission of the account; only an account's own keys may have it.
  scopes            text[] check (scopes is not null or issuer_id is null),
  origins           text[] not null default '{}',
  browsers          text not null default 'allow' check (browsers in ('allow', 'deny')),
  require_origin    boolean not null default false,
  ips               text[] not null default '{}',
  metadata          jsonb not null default '{}',
  expires_at        timestamptz,
  created_by        jsonb not null,
  rotation_due_at   timestamptz,
  revoked_at        timestamptz,
  last_used_at      timestamptz,
  version           bigint not null default 1,
  created_at        timestamptz not null default now(),
  updated_at        timestamptz not null default now(),
  check (organization_id is null or issuer_id is not null),
  foreign key (account_id, issuer_id) references issuers (account_id, id) on delete cascade,
  foreign key (account_id, issuer_id, organization_id)
    references organizations (account_id, issuer_id, id) on delete cascade
);
create index api_keys_of_account on api_keys (account_id, id desc) where issuer_id is null;
create index api_keys_of_issuer on api_keys (issuer_id, id desc) where organization_id is null;
create index api_keys_of_organization on api_keys (organization_id, id desc) where organization_id is not null;
create index api_keys_of_account_by_name on api_keys (account_id, name collate "C", id) where issuer_id is null;
create index api_keys_of_issuer_by_name on api_keys (issuer_id, name collate "C", id) where organization_id is null;
create index api_keys_of_organization_by_name on api_keys (organization_id, name collate "C", id)
  where organization_id is not null;
-- A foreign key with a null organization is not checked against organizations, but deleting an issuer has to find
-- every key below it, those of organizations included; and deleting an account all of its keys.
create index api_keys_below_issuer on api_keys (issuer_id) where issuer_id is not null;
create index api_keys_below_account on api_keys (account_id);
create index api_keys_digest_generation on api_keys (digest_generation);
create index api_keys_check_generation on api_keys (check_generation);
-- For preflights, which carry no key: the last of this issuer's usable keys without a list of origins to expire.
create index api_keys_any_origin on api_keys (issuer_id, coalesce(expires_at, 'infinity'))
  where status = 'active' and origins = '{}' and browsers = 'allow';

-- The origins that the usable keys of an issuer list, for preflights: whatever an issuer (or somebody else's) holds,
-- the answer is one step in an index. Kept by a trigger on api_keys, from which alone it follows; without foreign
-- keys, so that keys without a list cost nothing.
create table api_key_origins (
  key_id     text collate "C" not null,
  account_id text collate "C" not null,
  issuer_id  text collate "C" not null,
  origin     text collate "C" not null,
  -- 'infinity' where the key does not expire.
  expires_at timestamptz not null,
  primary key (key_id, origin)
);
create index api_key_origins_newest on api_key_origins (issuer_id, origin, expires_at);

-- ── Events and idempotency ──────────────────────────────────────────────────────────────────────────────────────

-- Insert and select only for the service. What sealing adds later (sequence, chain) lives in a table of its own.
create table events (
  id              text collate "C" primary key,
  account_id      text collate "C" not null references accounts (id) on delete cascade,
  type            text collate "C" not null,
  created_at      timestamptz not null default now(),
  issuer_id       text collate "C",
  organization_id text collate "C",
  environment     text not null check (environment in ('live', 'sandbox')),
  actor           jsonb not null,
  subject_type    text collate "C" not null,
  subject_id      text collate "C" not null,
  request_id      text,
  data            jsonb not null default '{}'
);
create index events_by_account on events (account_id, id desc);
create index events_by_issuer on events (account_id, issuer_id, id desc) where issuer_id is not null;
create index events_by_type on events (account_id, type, id desc);
create index events_by_subject on events (account_id, subject_id, id desc);

create table idempotency_records (
  account_id  text collate "C" not null references accounts (id) on delete cascade,
  id          bytea not null,
  fingerprint bytea not null,
  response    bytea not null,
  created_at  timestamptz not null default now(),
  expires_at  timestamptz not null,
  primary key (account_id, id)
);
create index idempotency_records_expiry on idempotency_records (expires_at);

-- ── Row-level security and grants ───────────────────────────────────────────────────────────────────────────────

do $$
declare
  tenant_table text;
begin
  foreach tenant_table in array array['account_members', 'support_grants', 'issuers', 'key_profiles',
    'organizations', 'api_keys', 'api_key_origins', 'events', 'idempotency_records']
  loop
    execute format('alter table %I enable row level security', tenant_table);
    execute format('create policy own_account on %I to gatelodge_app using (account_id = current_account())
      with check (account_id = current_account())', tenant_table);
  end loop;
end $$;

alter table accounts enable row level security;
create policy own_account on accounts to gatelodge_app
  using (id = current_account()) with check (id = current_account());

grant select, insert, update on installation, installation_secrets to gatelodge_app;
grant select, insert, update, delete on accounts, account_members, support_grants, issuers, key_profiles,
  organizations, api_keys, idempotency_records to gatelodge_app;
grant select, insert, delete on api_key_origins to gatelodge_app;
grant select, insert on events to gatelodge_app;

-- ── Changes of what nodes hold in memory ────────────────────────────────────────────────────────────────────────

-- A change says so in its own transaction; a creation does not, since nobody can hold what did not exist (and
-- notifying cuts the rate of commits to a third). Rows that go with their parent stay silent: the parent's own
-- notice makes every node forget what hangs below it.
create function notify_change() returns trigger
  language plpgsql as $$
declare
  changed jsonb := to_jsonb(coalesce(new, old));
begin
  perform pg_notify('gatelodge_change', (case tg_argv[0]
    -- Nodes hold keys by digest (a keyed one, so it tells nobody anything); naming it spares them a second index.
    when 'api-key' then jsonb_build_object(
      'kind', 'api-key', 'id', changed->>'id', 'digest', substr(changed->>'digest', 3))
    else jsonb_build_object('kind', tg_argv[0], 'id', changed->>tg_argv[1])
  end)::text);
  return null;
end $$;

create trigger notify_update after update on accounts
  for each row when (old.version <> new.version) execute function notify_change('account', 'id');
create trigger notify_delete after delete on accounts
  for each row execute function notify_change('account', 'id');
-- The jobs that delete an account or an issuer delete a million rows that nobody accepts any more since the parent's
-- notice; they set gatelodge.parent_is_going to stay silent.
create trigger notify_update after update on issuers
  for each row when (old.version <> new.version) execute function notify_change('issuer', 'id');
create trigger notify_delete after delete on issuers
  for each row when (current_setting('gatelodge.parent_is_going', true) is distinct from 'on')
  execute function notify_change('issuer', 'id');
create trigger notify_update after update on key_profiles
  for each row when (old.version <> new.version) execute function notify_change('issuer', 'issuer_id');
create trigger notify_update after update on organizations
  for each row when (old.version <> new.version) execute function notify_change('organization', 'id');
create trigger notify_delete after delete on organizations
  for each row when (pg_trigger_depth() = 0 and current_setting('gatelodge.parent_is_going', true) is distinct from 'on')
  execute function notify_change('organization', 'id');
create trigger notify_update after update on api_keys
  for each row when (old.version <> new.version) execute function notify_change('api-key', 'id');
create trigger notify_delete after delete on api_keys
  for each row when (pg_trigger_depth() = 0 and current_setting('gatelodge.parent_is_going', true) is distinct from 'on')
  execute function notify_change('api-key', 'id');

-- ── Origins of the keys ─────────────────────────────────────────────────────────────────────────────────────────

create function list_origins() returns trigger
  language plpgsql as $$
begin
  if tg_op <> 'INSERT' then
    delete from gatelodge.api_key_origins o where o.key_id = old.id;
  end if;
  if tg_op <> 'DELETE' and new.issuer_id is not null and new.status = 'active' and new.browsers = 'allow' then
    insert into gatelodge.api_key_origins (key_id, account_id, issuer_id, origin, expires_at)
    select distinct new.id, new.account_id, new.issuer_id, listed.origin, coalesce(new.expires_at, 'infinity')
    from unnest(new.origins) as listed (origin);
  end if;
  return null;
end $$;

create trigger list_origins_insert after insert on api_keys
  for each row when (new.origins <> '{}') execute function list_origins();
create trigger list_origins_update after update on api_keys
  for each row when (
    (old.origins <> '{}' or new.origins <> '{}')
    and (old.id, old.account_id, old.issuer_id, old.origins, old.status, old.browsers, old.expires_at)
      is distinct from (new.id, new.account_id, new.issuer_id, new.origins, new.status, new.browsers, new.expires_at))
  execute function list_origins();
create trigger list_origins_delete after delete on api_keys
  for each row when (old.origins <> '{}') execute function list_origins();

-- ── Look-ups before the account is known ────────────────────────────────────────────────────────────────────────
-- The whole list of what may see across accounts. Each is owned by a role that cannot log in and reads only the
-- columns granted here.

grant select (id, name, plan, status, is_operator, deletion, version, created_at, updated_at) on accounts to gatelodge_lookup;
grant select on issuers, key_profiles to gatelodge_lookup;
grant select (id, account_id, issuer_id, name, external_id, status) on organizations to gatelodge_lookup;
grant select (id, account_id, issuer_id, organization_id, name, kind, environment, status, digest, digest_generation,
  check_generation, scopes, origins, browsers, require_origin, ips, metadata, expires_at) on api_keys to gatelodge_lookup;
grant select (issuer_id, origin, expires_at) on api_key_origins to gatelodge_lookup;
grant select, delete on idempotency_records to gatelodge_lookup;
grant select (id, account_id), delete on events to gatelodge_lookup;
grant select (id, account_id, expires_at, revoked_at) on support_grants to gatelodge_lookup;

create policy lookup on accounts for select to gatelodge_lookup using (true);
create policy lookup on issuers for select to gatelodge_lookup using (true);
create policy lookup on key_profiles for select to gatelodge_lookup using (true);
create policy lookup on organizations for select to gatelodge_lookup using (true);
create policy lookup on api_keys for select to gatelodge_lookup using (true);
create policy lookup on api_key_origins for select to gatelodge_lookup using (true);
create policy expire on idempotency_records for all to gatelodge_lookup using (expires_at < now());
create policy forget on events for all to gatelodge_lookup
  using (exists (select from accounts a where a.id = account_id and a.status = 'deleting'));
create policy lookup on support_grants for select to gatelodge_lookup using (revoked_at is null);

-- A key by its digest, with everything a decision needs, in one call.
create function lookup_api_key(wanted bytea) returns table (
  id text, name text, account_id text, issuer_id text, organization_id text, kind text, environment text, status text,
  scopes text[], origins text[], browsers text, require_origin boolean, ips text[], metadata jsonb, expires_at timestamptz,
  account_status text, account_is_operator boolean, account_plan text,
  issuer_status text, issuer_environment text, issuer_publishable_scopes text[], profile jsonb,
  organization_name text, organization_external_id text, organization_status text)
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select k.id, k.name, k.account_id, k.issuer_id, k.organization_id, k.kind, k.environment, k.status,
    k.scopes, k.origins, k.browsers, k.require_origin, k.ips, k.metadata, k.expires_at,
    a.status, a.is_operator, a.plan,
    i.status, i.environment, i.publishable_scopes, p.profile,
    o.name, o.external_id, o.status
  from api_keys k
  join accounts a on a.id = k.account_id
  left join issuers i on i.id = k.issuer_id
  left join key_profiles p on p.issuer_id = k.issuer_id
  left join organizations o on o.id = k.organization_id
  where k.digest = wanted and i.deleting is not true;
end;

create function lookup_issuer(wanted text) returns table (
  id text, account_id text, status text, environment text, publishable_scopes text[], profile jsonb,
  account_status text, account_is_operator boolean, account_plan text)
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select i.id, i.account_id, i.status, i.environment, i.publishable_scopes, p.profile,
    a.status, a.is_operator, a.plan
  from issuers i
  join accounts a on a.id = i.account_id
  join key_profiles p on p.issuer_id = i.id
  where i.id = wanted and not i.deleting;
end;

-- A tenant by its id or by the account's own name for it; always within the issuer that a key has already named.
create function lookup_organization(wanted_issuer text, wanted text) returns table (
  id text, issuer_id text, name text, external_id text, status text)
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select o.id, o.issuer_id, o.name, o.external_id, o.status from organizations o
  where o.issuer_id = wanted_issuer and o.id = wanted
  union all
  select o.id, o.issuer_id, o.name, o.external_id, o.status from organizations o
  where o.issuer_id = wanted_issuer and o.external_id = wanted
  limit 1;
end;

-- Whether some usable key of the issuer may be used from this origin; asked by preflights, which carry no key. Anybody
-- may ask, so each part is one step in an index: "the last to expire" rather than "any that has not", for which the
-- planner likes to read a whole table that it believes to be full of them; and never by sorting, so that only the indexes
-- made for it will do, also while the statistics know nothing of a new issuer.
create function lookup_origin_of_issuer(wanted_issuer text, wanted text[]) returns boolean
  language sql stable security definer set search_path = pg_catalog, pg_temp set enable_sort = off
begin atomic
  select coalesce((
    select coalesce(k.expires_at, 'infinity') > now() from api_keys k
    where k.issuer_id = wanted_issuer and k.status = 'active' and k.origins = '{}' and k.browsers = 'allow'
    order by coalesce(k.expires_at, 'infinity') desc limit 1
  ), false) or exists (
    select from unnest(wanted) as candidate (origin)
    cross join lateral (
      select o.expires_at from api_key_origins o
      where o.issuer_id = wanted_issuer and o.origin = candidate.origin
      order by o.expires_at desc limit 1
    ) as newest
    where newest.expires_at > now()
  );
end;

-- How many keys still need a generation of a key secret; it may only be retired at zero.
create function lookup_keys_of_generation(wanted_purpose text, wanted_generation integer) returns bigint
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select case wanted_purpose
    when 'api-key-digest' then (select count(*) from api_keys k
      where k.digest_generation = wanted_generation and k.status <> 'revoked')
    when 'api-key-check' then (select count(*) from api_keys k
      where k.check_generation = wanted_generation and k.status <> 'revoked')
    else 0 end;
end;

-- Accounts for the operator's account API: the rows of this table and nothing below them.
create function lookup_accounts(operator_account text) returns setof accounts
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select a.* from accounts a
  where exists (select from accounts o where o.id = operator_account and o.is_operator and o.status = 'active');
end;

create function lookup_deleting_accounts() returns setof text
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select a.id from accounts a where a.status = 'deleting';
end;

-- Those of an account that is going itself go with it.
create function lookup_deleting_issuers() returns table (id text, account_id text)
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select i.id, i.account_id from issuers i
  join accounts a on a.id = i.account_id
  where i.deleting and a.status <> 'deleting';
end;

create function lookup_operator_account() returns text
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select a.id from accounts a where a.is_operator;
end;

-- The newest grant by which the operator may read in this account at this moment, if there is one. A suspended account
-- has none: its keys are refused, so it could not revoke any.
create function lookup_support_grant(operator_account text, wanted_account text, moment timestamptz) returns table (
  id text, account_id text)
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select g.id, g.account_id from support_grants g
  join accounts a on a.id = g.account_id
  where g.account_id = wanted_account and g.revoked_at is null and g.expires_at > moment and a.status = 'active'
    and exists (select from accounts o where o.id = operator_account and o.is_operator and o.status = 'active')
  order by g.id desc limit 1;
end;

-- Forgets the oldest expired answers, some at a time.
create function expire_idempotency_records(most integer) returns bigint
  language sql volatile security definer set search_path = pg_catalog, pg_temp
begin atomic
  with doomed as (
    select r.account_id, r.id from idempotency_records r where r.expires_at < now() limit most
  ), gone as (
    delete from idempotency_records r using doomed d where r.account_id = d.account_id and r.id = d.id returning 1
  )
  select count(*) from gone;
end;

-- Forgets some events of an account that is being deleted; policy shows it no others. The service itself can't.
create function forget_events(deleting_account text, most integer) returns bigint
  language sql volatile security definer set search_path = pg_catalog, pg_temp
begin atomic
  with doomed as (
    select e.id from events e where e.account_id = deleting_account limit most
  ), gone as (
    delete from events e using doomed d where e.id = d.id returning 1
  )
  select count(*) from gone;
end;

grant create on schema gatelodge to gatelodge_lookup;
do $$
declare
  lookup regprocedure;
begin
  foreach lookup in array array[
    'lookup_api_key(bytea)', 'lookup_issuer(text)', 'lookup_organization(text, text)',
    'lookup_origin_of_issuer(text, text[])', 'lookup_keys_of_generation(text, integer)', 'lookup_accounts(text)',
    'lookup_deleting_accounts()', 'lookup_deleting_issuers()', 'forget_events(text, integer)',
    'lookup_operator_account()', 'lookup_support_grant(text, text, timestamptz)',
    'expire_idempotency_records(integer)']::regprocedure[]
  loop
    execute format('alter function %s owner to gatelodge_lookup', lookup);
    execute format('revoke all on function %s from public', lookup);
    execute format('grant execute on function %s to gatelodge_app', lookup);
  end loop;
end $$;
revoke create on schema gatelodge from gatelodge_lookup;
revoke all on function notify_change() from public;
revoke all on function list_origins() from public;
-- ── Generations of the key secrets ──────────────────────────────────────────────────────────────────────────────

-- A key may only be made under generations that are not retired, also when one is being retired at this moment:
-- retiring holds the purpose's lock while it counts keys and commits, this takes the same lock shared until the new
-- keys commit. So a new key is either counted there or sees the retirement here. A lock rather than FOR SHARE on the
-- generation's row, which would write to that one row for every key made.
-- check_generation 0 stands for a key without a check part (imported).
create function require_live_secret_generations() returns trigger
  language plpgsql as $$
begin
  perform pg_advisory_xact_lock_shared(hashtextextended('installation_secret:api-key-check', 0)),
          pg_advisory_xact_lock_shared(hashtextextended('installation_secret:api-key-digest', 0));
  if exists (
    select from made m where not exists (
      select from installation_secrets s where s.purpose = 'api-key-digest'
        and s.generation = m.digest_generation and s.retired_at is null)
    or m.check_generation <> 0 and not exists (
      select from installation_secrets s where s.purpose = 'api-key-check'
        and s.generation = m.check_generation and s.retired_at is null)
  ) then
    raise exception 'an API key was made under a retired generation of a secret'
      using errcode = 'object_not_in_prerequisite_state';
  end if;
  return null;
end $$;

create trigger live_secret_generations after insert on api_keys
  referencing new table as made
  for each statement execute function require_live_secret_generations();

revoke all on function require_live_secret_generations() from public;
