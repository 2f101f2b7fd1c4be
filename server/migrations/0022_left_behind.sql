-- What a deleted organization or group leaves behind is nobody's at once, and a job takes it away in steps: how much there is
-- below does not matter to whoever deletes it. Members are left behind already (0013); from here on keys are as well, and the
-- places of members in a group.
--
-- Nodes of the build before this one may still run. Organizations and groups that they delete leave the same behind, since the
-- foreign keys by which it went are gone for them too; and what they call tells them nothing of what is left.

-- ── Keys ────────────────────────────────────────────────────────────────────────────────────────────────────────

-- The half of a foreign key that stays: no key is made in an organization that is not there, and whoever deletes one waits for
-- the keys that are being made in it. The other half, that its keys go with it, took longer than a request may.
create function require_organization() returns trigger
  language plpgsql as $$
begin
  perform from gatelodge.organizations o
    where o.account_id = new.account_id and o.issuer_id = new.issuer_id and o.id = new.organization_id
    for key share;
  if not found then
    raise exception 'there is no such organization'
      using errcode = 'foreign_key_violation', table = 'api_keys', constraint = 'api_keys_organization';
  end if;
  return new;
end $$;
create trigger require_organization before insert or update of account_id, issuer_id, organization_id on api_keys
  for each row when (new.organization_id is not null) execute function require_organization();
revoke all on function require_organization() from public;

do $$
declare
  going text;
begin
  for going in
    select c.conname from pg_constraint c
    where c.contype = 'f' and c.conrelid = 'api_keys'::regclass and c.confrelid = 'organizations'::regclass
  loop
    execute format('alter table api_keys drop constraint %I', going);
  end loop;
end $$;

-- ── Groups ──────────────────────────────────────────────────────────────────────────────────────────────────────

-- Deleted groups of which the places of members are still to be taken away.
create table departed_groups (
  id              text collate "C" primary key,
  account_id      text collate "C" not null,
  issuer_id       text collate "C" not null,
  organization_id text collate "C" not null,
  created_at      timestamptz not null default now(),
  foreign key (account_id, issuer_id) references issuers (account_id, id) on delete cascade
);
create index departed_groups_of_issuer on departed_groups (account_id, issuer_id);
alter table departed_groups enable row level security;
create policy own_account on departed_groups to gatelodge_app using (account_id = current_account())
  with check (account_id = current_account());
create policy lookup on departed_groups for select to gatelodge_lookup using (true);
grant select, insert, update, delete on departed_groups to gatelodge_app;
grant select on departed_groups to gatelodge_lookup;

-- Written by a trigger: nodes of the build before this one delete groups too, and know of no such table. What the jobs delete
-- that take an organization, an issuer or an account away has no members any more, or goes with them.
create function note_departed_group() returns trigger
  language plpgsql as $$
begin
  insert into gatelodge.departed_groups (id, account_id, issuer_id, organization_id)
    values (old.id, old.account_id, old.issuer_id, old.organization_id);
  return null;
end $$;
create trigger note_departed_group after delete on groups
  for each row when (pg_trigger_depth() = 0 and current_setting('gatelodge.parent_is_going', true) is distinct from 'on')
  execute function note_departed_group();
revoke all on function note_departed_group() from public;

-- Nothing has to stay of the foreign key: who puts a member into a group holds the organization, and so does who deletes one.
do $$
declare
  going text;
begin
  for going in
    select c.conname from pg_constraint c
    where c.contype = 'f' and c.conrelid = 'group_memberships'::regclass and c.confrelid = 'groups'::regclass
  loop
    execute format('alter table group_memberships drop constraint %I', going);
  end loop;
end $$;

-- ── Look-ups of keys: one without its organization is none ──────────────────────────────────────────────────────
-- Not so the answers to preflights, the filter of imported keys and the count of what needs a generation of a secret: what is
-- left behind may count there until it is taken away, as what is suspended does. None of them lets anybody do anything.

create or replace function lookup_api_key_v2(wanted bytea) returns table (
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
  where k.digest = wanted and i.deleting is not true and (k.organization_id is null or o.id is not null);
end;

create or replace function lookup_api_key_v3(wanted bytea) returns table (
  id text, name text, account_id text, issuer_id text, organization_id text, kind text, environment text, status text,
  scopes text[], origins text[], browsers text, require_origin boolean, ips text[], metadata jsonb, expires_at timestamptz,
  lineage_id text, rotated_at timestamptz, is_imported boolean, limits jsonb, quota jsonb,
  account_status text, account_is_operator boolean, account_plan text, account_limits jsonb,
  issuer_status text, issuer_environment text, issuer_publishable_scopes text[], profile jsonb,
  issuer_plan text, issuer_limits jsonb,
  organization_name text, organization_external_id text, organization_status text,
  organization_plan text, organization_limits jsonb)
  language plpgsql stable security definer set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
begin
  return query
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
  where k.digest = wanted and i.deleting is not true and (k.organization_id is null or o.id is not null);
end $$;

-- ── What the job has to do ──────────────────────────────────────────────────────────────────────────────────────

-- What the build before this one asks. Its job knows of no keys and would forget the organization with keys still there, so it
-- is told of those alone that have none any more.
create or replace function lookup_departed_organizations(most integer) returns table (id text, account_id text, issuer_id text)
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select d.id, d.account_id, d.issuer_id
  from gatelodge.departed_organizations d
  join gatelodge.accounts a on a.id = d.account_id
  join gatelodge.issuers i on i.id = d.issuer_id
  where a.status <> 'deleting' and not i.deleting
    and not exists (select from gatelodge.api_keys k where k.organization_id = d.id)
  order by d.id
  limit most;
end;

-- All of them, no more than so many of each account: one that deletes many does not keep the others' waiting. Which accounts
-- come first is left to chance, so that none is always last.
create function lookup_departed_organizations_v2(most integer, most_each integer)
  returns table (id text, account_id text, issuer_id text)
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  with recursive waiting as (
    (select d.account_id from gatelodge.departed_organizations d order by d.account_id limit 1)
    union all
    select (select d.account_id from gatelodge.departed_organizations d where d.account_id > w.account_id
      order by d.account_id limit 1)
    from waiting w where w.account_id is not null
  ), turns as materialized (
    -- What goes with its account or issuer is left to the jobs of these.
    select w.account_id from waiting w join gatelodge.accounts a on a.id = w.account_id
    where a.status <> 'deleting' order by random()
  )
  select due.id, due.account_id, due.issuer_id from turns turn
  cross join lateral (
    select d.id, d.account_id, d.issuer_id from gatelodge.departed_organizations d
    join gatelodge.issuers i on i.id = d.issuer_id
    where d.account_id = turn.account_id and not i.deleting
    order by d.id limit most_each) as due
  limit most;
end;

-- The same of groups. Those of an organization that is to be taken away itself go with it.
create function lookup_departed_groups(most integer, most_each integer)
  returns table (id text, account_id text, issuer_id text, organization_id text)
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  with recursive waiting as (
    (select d.account_id from gatelodge.departed_groups d order by d.account_id limit 1)
    union all
    select (select d.account_id from gatelodge.departed_groups d where d.account_id > w.account_id
      order by d.account_id limit 1)
    from waiting w where w.account_id is not null
  ), turns as materialized (
    select w.account_id from waiting w join gatelodge.accounts a on a.id = w.account_id
    where a.status <> 'deleting' order by random()
  )
  select due.id, due.account_id, due.issuer_id, due.organization_id from turns turn
  cross join lateral (
    select d.id, d.account_id, d.issuer_id, d.organization_id from gatelodge.departed_groups d
    join gatelodge.issuers i on i.id = d.issuer_id
    where d.account_id = turn.account_id and not i.deleting
      and not exists (select from gatelodge.departed_organizations o where o.id = d.organization_id)
    order by d.id limit most_each) as due
  limit most;
end;

grant create on schema gatelodge to gatelodge_lookup;
do $$
declare
  lookup regprocedure;
begin
  for lookup in
    select p.oid from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where n.nspname = 'gatelodge' and p.proname in ('lookup_departed_organizations_v2', 'lookup_departed_groups')
  loop
    execute format('alter function %s owner to gatelodge_lookup', lookup);
    execute format('revoke all on function %s from public', lookup);
    execute format('grant execute on function %s to gatelodge_app', lookup);
  end loop;
end $$;
revoke create on schema gatelodge from gatelodge_lookup;
