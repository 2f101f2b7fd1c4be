-- Plans, limits and quotas of keys, and what metering makes of the ledger: usage, windows of limits, metered events.
--
-- Nodes of the build before this one may still run: what they call keeps its name and the shape of its rows, and what
-- they write needs no plan to exist.

-- ── Plans ───────────────────────────────────────────────────────────────────────────────────────────────────────

-- Those of the operator's account are the ones that accounts are on; every account has its own for its issuers and
-- organizations. Issuers and organizations name them without a foreign key: a node of an older build writes names
-- that nobody has made yet, which are then as good as none. Nodes of this build hold the plan's row while they name it.
create table plans (
  account_id  text collate "C" not null references accounts (id) on delete cascade,
  name        text collate "C" not null,
  description text,
  -- { "live": [{ "name", "limit", "window" }], "sandbox": [...] }
  limits      jsonb not null default '{"live": [], "sandbox": []}',
  -- Decisions a month that cost nothing beside the plan: { "live": number or null for all, "sandbox": ... }
  included    jsonb not null default '{"live": null, "sandbox": null}',
  version     bigint not null default 1,
  created_at  timestamptz not null default now(),
  updated_at  timestamptz not null default now(),
  primary key (account_id, name)
);
create index organizations_by_plan on organizations (account_id, plan) where plan is not null;
create index issuers_by_plan on issuers (account_id, plan) where plan is not null;
create index accounts_by_plan on accounts (plan) where plan is not null;

-- The plans that there always are; made with the operator's account, also by a node of an older build.
create function make_usual_plans() returns trigger
  language plpgsql as $$
begin
  insert into gatelodge.plans (account_id, name, description, limits) values
    (new.id, 'default', 'What a new account is on.', '{
      "live": [{"name": "hour", "limit": 1000, "window": "hour"}, {"name": "day", "limit": 10000, "window": "day"}],
      "sandbox": [{"name": "hour", "limit": 100, "window": "hour"}, {"name": "day", "limit": 1000, "window": "day"}]}'),
    (new.id, 'unlimited', 'What the operator''s own account is on.', '{
      "live": [],
      "sandbox": [{"name": "hour", "limit": 1000, "window": "hour"}, {"name": "day", "limit": 10000, "window": "day"}]}')
  on conflict do nothing;
  return null;
end $$;
create trigger make_usual_plans after insert on accounts
  for each row when (new.is_operator) execute function make_usual_plans();

insert into plans (account_id, name, description, limits)
select a.id, p.name, p.description, p.limits::jsonb from accounts a, (values
    ('default', 'What a new account is on.', '{
      "live": [{"name": "hour", "limit": 1000, "window": "hour"}, {"name": "day", "limit": 10000, "window": "day"}],
      "sandbox": [{"name": "hour", "limit": 100, "window": "hour"}, {"name": "day", "limit": 1000, "window": "day"}]}'),
    ('unlimited', 'What the operator''s own account is on.', '{
      "live": [],
      "sandbox": [{"name": "hour", "limit": 1000, "window": "hour"}, {"name": "day", "limit": 10000, "window": "day"}]}')
  ) as p (name, description, limits)
where a.is_operator;

-- ── Limits of a key ─────────────────────────────────────────────────────────────────────────────────────────────

alter table api_keys
  -- [{ "name", "limit", "window" }]
  add column limits jsonb not null default '[]',
  -- { "credits", "since": Unix seconds, "refill": { "amount", "every": "day" | "month" } | null }
  add column quota  jsonb;

-- ── Usage ───────────────────────────────────────────────────────────────────────────────────────────────────────

-- How many decisions came out how, in each hour and each day (UTC), of every account, issuer, organization and key.
-- Written by fold_ledger and report_outcomes alone. No foreign keys: usage outlives what it was of, and a fold writes
-- ten thousand rows at a time.
create table usage_buckets (
  account_id      text collate "C" not null,
  level           text collate "C" not null check (level in ('account', 'issuer', 'organization', 'key')),
  -- The id of the account, issuer, organization or key.
  subject_id      text collate "C" not null,
  grain           text collate "C" not null check (grain in ('hour', 'day')),
  start_at        timestamptz not null,
  environment     text collate "C" not null check (environment in ('live', 'sandbox')),
  -- What the subject lies in: '' for nothing. Of a key of an issuer: the organization that it acted for.
  issuer_id       text collate "C" not null default '',
  organization_id text collate "C" not null default '',
  -- As verify answers them.
  code            text collate "C" not null,
  -- Calls of the management API stand apart.
  is_management   boolean not null default false,
  count           bigint not null default 0,
  cost            bigint not null default 0,
  -- What middleware has told of the requests that were let through: how many, how many of them failed, and their
  -- latencies added up.
  reported        bigint not null default 0,
  errors          bigint not null default 0,
  latency_ms      bigint not null default 0,
  primary key (account_id, level, subject_id, grain, start_at, environment, issuer_id, organization_id, code, is_management)
) with (fillfactor = 80);
create index usage_buckets_by_time on usage_buckets (account_id, level, grain, start_at desc, subject_id);

-- When a key last passed; half a minute behind at the most, so that a key in use is not written at each fold.
create table key_uses (
  key_id       text collate "C" primary key,
  account_id   text collate "C" not null,
  last_used_at timestamptz not null
) with (fillfactor = 70);
create index key_uses_by_account on key_uses (account_id);

-- Traffic, as events: one a key, outcome and minute.
create table metered_events (
  id              text collate "C" not null,
  account_id      text collate "C" not null,
  type            text collate "C" not null check (type in ('api-key.verified', 'api-key.rejected')),
  created_at      timestamptz not null,
  last_at         timestamptz not null,
  issuer_id       text collate "C",
  organization_id text collate "C",
  environment     text collate "C" not null check (environment in ('live', 'sandbox')),
  key_id          text collate "C" not null,
  code            text collate "C" not null,
  minute          timestamptz not null,
  count           bigint not null,
  primary key (account_id, id),
  unique (account_id, key_id, code, minute)
) with (fillfactor = 80);
create index metered_events_by_issuer on metered_events (account_id, issuer_id, id desc) where issuer_id is not null;
create index metered_events_by_minute on metered_events (minute);

-- ── The ledger's way into the database ──────────────────────────────────────────────────────────────────────────

-- Up to where the decisions of each segment are in the tables above. A segment's position only moves forward, in the
-- transaction that writes what lies between.
create table ledger_segments (
  segment_id        text collate "C" primary key check (segment_id ~ '^[0-9a-f]{32}$'),
  data_directory_id text collate "C" not null,
  created_at        timestamptz not null,
  position          bigint not null check (position >= 0),
  folded_at         timestamptz not null default now(),
  -- Nothing more will come: its end has been folded.
  is_finished       boolean not null default false
);
create index ledger_segments_unfinished on ledger_segments (data_directory_id) where not is_finished;

-- What has been used of each limit in the newest window that something was folded of; from these and what is not
-- folded yet a node that starts knows where its limits stand.
create table limit_windows (
  account_id   text collate "C" not null,
  kind         text collate "C" not null check (kind in ('key', 'organization', 'issuer', 'account')),
  -- Of a key: the first of its line of rotations.
  subject_id   text collate "C" not null,
  environment  text collate "C" not null check (environment in ('live', 'sandbox')),
  name         text collate "C" not null,
  period       text collate "C" not null,
  -- Unix seconds.
  window_start bigint not null,
  used         bigint not null,
  primary key (account_id, kind, subject_id, environment, name, period)
) with (fillfactor = 70);

-- ── Row-level security and grants ───────────────────────────────────────────────────────────────────────────────

do $$
declare
  tenant_table text;
begin
  foreach tenant_table in array array['plans', 'usage_buckets', 'key_uses', 'metered_events', 'limit_windows']
  loop
    execute format('alter table %I enable row level security', tenant_table);
    execute format('create policy own_account on %I to gatelodge_app using (account_id = current_account())
      with check (account_id = current_account())', tenant_table);
    execute format('create policy lookup on %I for select to gatelodge_lookup using (true)', tenant_table);
  end loop;
  foreach tenant_table in array array['usage_buckets', 'key_uses', 'metered_events', 'limit_windows']
  loop
    execute format('create policy meter on %I for all to gatelodge_lookup using (true) with check (true)', tenant_table);
    execute format('grant select, insert, update, delete on %I to gatelodge_lookup', tenant_table);
    -- Written by functions alone; what belongs to an account that is being deleted goes with it.
    execute format('grant select, delete on %I to gatelodge_app', tenant_table);
  end loop;
end $$;
grant select, insert, update, delete on plans to gatelodge_app;
grant select on plans to gatelodge_lookup;
grant select on ledger_segments to gatelodge_app;
grant select, insert, update, delete on ledger_segments to gatelodge_lookup;
grant select (limits, quota) on api_keys to gatelodge_lookup;
grant select (plan) on organizations to gatelodge_lookup;
revoke all on function make_usual_plans() from public;

-- ── Changes of what nodes hold in memory ────────────────────────────────────────────────────────────────────────

-- Also of a plan that was made: somebody may be on a plan of that name already.
create function notify_plan() returns trigger
  language plpgsql as $$
declare
  changed gatelodge.plans := coalesce(new, old);
begin
  perform pg_notify('gatelodge_change', jsonb_build_object(
    'kind', 'plan', 'account_id', changed.account_id, 'name', changed.name,
    'is_operator', coalesce((select a.is_operator from gatelodge.accounts a where a.id = changed.account_id), false))::text);
  return null;
end $$;
create trigger notify_change after insert or update or delete on plans
  for each row execute function notify_plan();
revoke all on function notify_plan() from public;

-- ── Look-ups ────────────────────────────────────────────────────────────────────────────────────────────────────

-- A key by its digest, with everything a decision needs, its limits included, in one call.
create function lookup_api_key_v3(wanted bytea) returns table (
  id text, name text, account_id text, issuer_id text, organization_id text, kind text, environment text, status text,
  scopes text[], origins text[], browsers text, require_origin boolean, ips text[], metadata jsonb, expires_at timestamptz,
  lineage_id text, rotated_at timestamptz, is_imported boolean, limits jsonb, quota jsonb,
  account_status text, account_is_operator boolean, account_plan text, account_limits jsonb,
  issuer_status text, issuer_environment text, issuer_publishable_scopes text[], profile jsonb,
  issuer_plan text, issuer_limits jsonb,
  organization_name text, organization_external_id text, organization_status text,
  organization_plan text, organization_limits jsonb)
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select k.id, k.name, k.account_id, k.issuer_id, k.organization_id, k.kind, k.environment, k.status,
    k.scopes, k.origins, k.browsers, k.require_origin, k.ips, k.metadata, least(k.expires_at, k.retires_at),
    coalesce(k.lineage_id, k.id), k.rotated_at, k.import_batch is not null, k.limits, k.quota,
    a.status, a.is_operator, a.plan, (
      select p.limits from gatelodge.plans p
      where p.name = a.plan and p.account_id = (select o.id from gatelodge.accounts o where o.is_operator)),
    i.status, i.environment, i.publishable_scopes, p.profile,
    i.plan, (select p.limits from gatelodge.plans p where p.account_id = k.account_id and p.name = i.plan),
    o.name, o.external_id, o.status,
    o.plan, (select p.limits from gatelodge.plans p where p.account_id = k.account_id and p.name = o.plan)
  from gatelodge.api_keys k
  join gatelodge.accounts a on a.id = k.account_id
  left join gatelodge.issuers i on i.id = k.issuer_id
  left join gatelodge.key_profiles p on p.issuer_id = k.issuer_id
  left join gatelodge.organizations o on o.id = k.organization_id
  where k.digest = wanted and i.deleting is not true;
end;

create function lookup_issuer_v2(wanted text) returns table (
  id text, account_id text, status text, environment text, publishable_scopes text[], profile jsonb,
  plan text, limits jsonb,
  account_status text, account_is_operator boolean, account_plan text, account_limits jsonb)
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select i.id, i.account_id, i.status, i.environment, i.publishable_scopes, p.profile,
    i.plan, (select p.limits from gatelodge.plans p where p.account_id = i.account_id and p.name = i.plan),
    a.status, a.is_operator, a.plan, (
      select p.limits from gatelodge.plans p
      where p.name = a.plan and p.account_id = (select o.id from gatelodge.accounts o where o.is_operator))
  from gatelodge.issuers i
  join gatelodge.accounts a on a.id = i.account_id
  join gatelodge.key_profiles p on p.issuer_id = i.id
  where i.id = wanted and not i.deleting;
end;

create function lookup_organization_v2(wanted_issuer text, wanted text) returns table (
  id text, account_id text, issuer_id text, name text, external_id text, status text, plan text, limits jsonb)
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select found.id, found.account_id, found.issuer_id, found.name, found.external_id, found.status, found.plan,
    (select p.limits from gatelodge.plans p where p.account_id = found.account_id and p.name = found.plan)
  from (
    select o.id, o.account_id, o.issuer_id, o.name, o.external_id, o.status, o.plan from gatelodge.organizations o
    where o.issuer_id = wanted_issuer and o.id = wanted
    union all
    select o.id, o.account_id, o.issuer_id, o.name, o.external_id, o.status, o.plan from gatelodge.organizations o
    where o.issuer_id = wanted_issuer and o.external_id = wanted
    limit 1
  ) as found;
end;

-- Whether a plan of the operator's is there, held until the transaction ends so that nobody deletes it meanwhile; for
-- whoever puts an account on it.
create function hold_account_plan(wanted text) returns boolean
  language sql volatile security definer set search_path = pg_catalog, pg_temp
begin atomic
  select exists (
    select from gatelodge.plans p
    where p.name = wanted and p.account_id = (select o.id from gatelodge.accounts o where o.is_operator)
    for key share);
end;

-- How many accounts are on a plan of the operator's.
create function lookup_accounts_on_plan(wanted text) returns bigint
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select count(*) from gatelodge.accounts a where a.plan = wanted and a.status <> 'deleting';
end;

-- What the plan of an account says, for the account itself: it may not read the operator's.
create function lookup_account_plan(wanted text) returns table (name text, limits jsonb, included jsonb)
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select p.name, p.limits, p.included from gatelodge.plans p
  where p.name = wanted and p.account_id = (select o.id from gatelodge.accounts o where o.is_operator);
end;

-- FOR KEY SHARE asks for a right to update; one column that never changes will do.
grant update (name) on plans to gatelodge_lookup;
create policy hold on plans for update to gatelodge_lookup using (true) with check (false);

grant create on schema gatelodge to gatelodge_lookup;
do $$
declare
  lookup regprocedure;
begin
  foreach lookup in array array[
    'lookup_api_key_v3(bytea)', 'lookup_issuer_v2(text)', 'lookup_organization_v2(text, text)',
    'hold_account_plan(text)', 'lookup_accounts_on_plan(text)', 'lookup_account_plan(text)']::regprocedure[]
  loop
    execute format('alter function %s owner to gatelodge_lookup', lookup);
    execute format('revoke all on function %s from public', lookup);
    execute format('grant execute on function %s to gatelodge_app', lookup);
  end loop;
end $$;
revoke create on schema gatelodge from gatelodge_lookup;
