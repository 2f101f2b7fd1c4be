-- Rotation, import, notices, exposure and leak reports of API keys.
--
-- Nodes of the build before this one may still run: what they call keeps its name and the shape of its rows.

-- ── What a key's life adds to it ────────────────────────────────────────────────────────────────────────────────

alter table api_keys
  -- The first key of a line of rotations, whose limits they share; null: the key itself.
  add column lineage_id      text collate "C",
  add column predecessor_id  text collate "C",
  add column successor_id    text collate "C",
  add column rotated_at      timestamptz,
  -- The end of the grace in which a rotated key still works; never later than expires_at.
  add column retires_at      timestamptz,
  add column retire          text check (retire in ('after-grace', 'when-quiet')),
  -- The call that imported it; null for a key made here.
  add column import_batch    text collate "C",
  -- Days (UTC) on which the owner was last told: at most one event a day.
  add column exposure_told_on date,
  add column leak_told_on    date,
  -- When the next api-key.expiring or api-key.rotation_due falls due. The default is for keys from before and for
  -- those that an older node makes: the job looks at them once and writes what is right.
  add column next_notice_at  timestamptz default now(),
  add constraint api_keys_rotation check ((rotated_at is null) = (retires_at is null)
    and (rotated_at is null) = (retire is null) and (rotated_at is null) = (successor_id is null));

-- Two rotations at once make one successor, whatever the code does.
create unique index api_keys_one_successor on api_keys (predecessor_id) where predecessor_id is not null;
create index api_keys_imported on api_keys (digest) where import_batch is not null;
create index api_keys_import_batch on api_keys (import_batch) where import_batch is not null;
create index api_keys_next_notice on api_keys (next_notice_at) where next_notice_at is not null and status = 'active';

-- How long a secret key lives on after somebody has reported that it leaked.
alter table accounts
  add column leak_revocation_delay_seconds integer not null default 0
    check (leak_revocation_delay_seconds between 0 and 604800);

-- ── Leak reports ────────────────────────────────────────────────────────────────────────────────────────────────

-- What anybody has reported, until a job has looked at it: the digest under which the reported text would be stored if
-- it were a key, never the text. Whose key it is, if it is one at all, nobody knows yet, so no account owns a row.
create table leak_reports (
  id           text collate "C" primary key,
  digest       bytea not null,
  -- Inert text, with everything taken out that looks like a secret.
  reported_url text,
  received_at  timestamptz not null default now(),
  -- When to look at it (again): a key may live on for a while after its owner was told.
  due_at       timestamptz not null default now()
);
create index leak_reports_due on leak_reports (due_at);
-- The one whose key is to be revoked once a delay is over: it is due later than it came.
create unique index leak_reports_scheduled on leak_reports (digest) where due_at > received_at;

grant select, insert, update, delete on leak_reports to gatelodge_app;

-- ── Origins of the keys: the end of a grace is the end of what a key lists ──────────────────────────────────────

create or replace function list_origins() returns trigger
  language plpgsql as $$
begin
  if tg_op <> 'INSERT' then
    delete from gatelodge.api_key_origins o where o.key_id = old.id;
  end if;
  if tg_op <> 'DELETE' and new.issuer_id is not null and new.status = 'active' and new.browsers = 'allow' then
    insert into gatelodge.api_key_origins (key_id, account_id, issuer_id, origin, expires_at)
    select distinct new.id, new.account_id, new.issuer_id, listed.origin,
      coalesce(least(new.expires_at, new.retires_at), 'infinity')
    from unnest(new.origins) as listed (origin);
  end if;
  return null;
end $$;

drop trigger list_origins_update on api_keys;
create trigger list_origins_update after update on api_keys
  for each row when (
    (old.origins <> '{}' or new.origins <> '{}')
    and (old.id, old.account_id, old.issuer_id, old.origins, old.status, old.browsers, old.expires_at, old.retires_at)
      is distinct from (new.id, new.account_id, new.issuer_id, new.origins, new.status, new.browsers, new.expires_at,
        new.retires_at))
  execute function list_origins();

create index api_keys_any_origin_until on api_keys (issuer_id, coalesce(least(expires_at, retires_at), 'infinity'))
  where status = 'active' and origins = '{}' and browsers = 'allow';
drop index api_keys_any_origin;

-- ── Announcements ───────────────────────────────────────────────────────────────────────────────────────────────

-- Unlike other creations an import is announced: nodes find imported keys behind a filter that has to learn of them.
-- Postgres sends equal announcements of one transaction once, so a batch of a thousand keys is one.
create function notify_import() returns trigger
  language plpgsql as $$
begin
  perform pg_notify('gatelodge_change', jsonb_build_object(
    'kind', 'import', 'id', new.import_batch, 'account_id', new.account_id)::text);
  return null;
end $$;
create trigger notify_import after insert on api_keys
  for each row when (new.import_batch is not null) execute function notify_import();
revoke all on function notify_import() from public;

-- ── Look-ups ────────────────────────────────────────────────────────────────────────────────────────────────────

grant select (lineage_id, rotated_at, retires_at, import_batch, next_notice_at) on api_keys to gatelodge_lookup;
grant select (leak_revocation_delay_seconds) on accounts to gatelodge_lookup;

-- A key by its digest, with everything a decision needs, in one call.
create function lookup_api_key_v2(wanted bytea) returns table (
  id text, name text, account_id text, issuer_id text, organization_id text, kind text, environment text, status text,
  scopes text[], origins text[], browsers text, require_origin boolean, ips text[], metadata jsonb, expires_at timestamptz,
  lineage_id text, rotated_at timestamptz, is_imported boolean,
  account_status text, account_is_operator boolean, account_plan text,
  issuer_status text, issuer_environment text, issuer_publishable_scopes text[], profile jsonb,
  organization_name text, organization_external_id text, organization_status text)
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  -- least() passes over nulls: the earlier of the two, or the one there is.
  select k.id, k.name, k.account_id, k.issuer_id, k.organization_id, k.kind, k.environment, k.status,
    k.scopes, k.origins, k.browsers, k.require_origin, k.ips, k.metadata, least(k.expires_at, k.retires_at),
    coalesce(k.lineage_id, k.id), k.rotated_at, k.import_batch is not null,
    a.status, a.is_operator, a.plan,
    i.status, i.environment, i.publishable_scopes, p.profile,
    o.name, o.external_id, o.status
  from gatelodge.api_keys k
  join gatelodge.accounts a on a.id = k.account_id
  left join gatelodge.issuers i on i.id = k.issuer_id
  left join gatelodge.key_profiles p on p.issuer_id = k.issuer_id
  left join gatelodge.organizations o on o.id = k.organization_id
  where k.digest = wanted and i.deleting is not true;
end;

-- What the build before this one calls: it knows no grace, so the end of one is the end of the key to it.
create or replace function lookup_api_key(wanted bytea) returns table (
  id text, name text, account_id text, issuer_id text, organization_id text, kind text, environment text, status text,
  scopes text[], origins text[], browsers text, require_origin boolean, ips text[], metadata jsonb, expires_at timestamptz,
  account_status text, account_is_operator boolean, account_plan text,
  issuer_status text, issuer_environment text, issuer_publishable_scopes text[], profile jsonb,
  organization_name text, organization_external_id text, organization_status text)
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select k.id, k.name, k.account_id, k.issuer_id, k.organization_id, k.kind, k.environment, k.status,
    k.scopes, k.origins, k.browsers, k.require_origin, k.ips, k.metadata, k.expires_at,
    k.account_status, k.account_is_operator, k.account_plan,
    k.issuer_status, k.issuer_environment, k.issuer_publishable_scopes, k.profile,
    k.organization_name, k.organization_external_id, k.organization_status
  from gatelodge.lookup_api_key_v2(wanted) k
  where not k.is_imported;
end;

create or replace function lookup_accounts(operator_account text) returns setof accounts
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select a.* from gatelodge.accounts a
  where exists (
    select from gatelodge.accounts o where o.id = operator_account and o.is_operator and o.status = 'active');
end;

-- The digests of all imported keys, a page at a time in their order; for the filter of a node that starts.
create function lookup_imported_digests(after bytea, most integer) returns table (digest bytea)
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select k.digest from gatelodge.api_keys k
  where k.import_batch is not null and k.digest > after
  order by k.digest limit most;
end;

-- Those of one import.
create function lookup_import_batch(batch text) returns table (digest bytea)
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select k.digest from gatelodge.api_keys k where k.import_batch = batch;
end;

-- Accounts with keys of which a notice is due, the longest overdue first. By account, so that one with many keys leaves
-- room for the others.
create function lookup_accounts_with_notices(moment timestamptz, most integer) returns setof text
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select k.account_id from gatelodge.api_keys k
  join gatelodge.accounts a on a.id = k.account_id
  where k.next_notice_at <= moment and k.status = 'active' and a.status <> 'deleting'
  group by k.account_id order by min(k.next_notice_at) limit most;
end;

create or replace function lookup_origin_of_issuer(wanted_issuer text, wanted text[]) returns boolean
  language sql stable security definer set search_path = pg_catalog, pg_temp set enable_sort = off
begin atomic
  select coalesce((
    select coalesce(least(k.expires_at, k.retires_at), 'infinity') > now() from gatelodge.api_keys k
    where k.issuer_id = wanted_issuer and k.status = 'active' and k.origins = '{}' and k.browsers = 'allow'
    order by coalesce(least(k.expires_at, k.retires_at), 'infinity') desc limit 1
  ), false) or exists (
    select from unnest(wanted) as candidate (origin)
    cross join lateral (
      select o.expires_at from gatelodge.api_key_origins o
      where o.issuer_id = wanted_issuer and o.origin = candidate.origin
      order by o.expires_at desc limit 1
    ) as newest
    where newest.expires_at > now()
  );
end;

grant create on schema gatelodge to gatelodge_lookup;
do $$
declare
  lookup regprocedure;
begin
  foreach lookup in array array[
    'lookup_api_key_v2(bytea)', 'lookup_imported_digests(bytea, integer)', 'lookup_import_batch(text)',
    'lookup_accounts_with_notices(timestamptz, integer)']::regprocedure[]
  loop
    execute format('alter function %s owner to gatelodge_lookup', lookup);
    execute format('revoke all on function %s from public', lookup);
    execute format('grant execute on function %s to gatelodge_app', lookup);
  end loop;
end $$;
revoke create on schema gatelodge from gatelodge_lookup;
