-- Members of organizations, and the groups that give them scopes.

-- ── Groups ──────────────────────────────────────────────────────────────────────────────────────────────────────

-- No foreign key to organizations here and below: with an organization any number of rows would go at once. Whoever adds
-- one holds its organization's lock, and what a deleted organization leaves is nobody's until a job takes it away in steps.
create table groups (
  id              text collate "C" primary key,
  account_id      text collate "C" not null,
  issuer_id       text collate "C" not null,
  organization_id text collate "C" not null,
  name            text not null,
  -- As it is compared: two spellings of one name have the same key. Made in code (groups/group-name.ts).
  name_key        text collate "C" not null,
  scopes          text[] not null,
  -- Bytes of the scopes: what the tokens and answers of a member will hold is summed up before it is read.
  scopes_bytes    integer not null,
  version         bigint not null default 1,
  created_at      timestamptz not null default now(),
  updated_at      timestamptz not null default now(),
  unique (account_id, issuer_id, organization_id, id),
  foreign key (account_id, issuer_id) references issuers (account_id, id) on delete cascade
);
create unique index groups_name on groups (organization_id, name_key);
create index groups_by_name on groups (account_id, issuer_id, organization_id, name collate "C", id);

-- ── Memberships ─────────────────────────────────────────────────────────────────────────────────────────────────

create table memberships (
  -- Sorts by when the user became a member; the API knows a member by its user.
  id              text collate "C" primary key,
  account_id      text collate "C" not null,
  issuer_id       text collate "C" not null,
  organization_id text collate "C" not null,
  user_id         text collate "C" not null,
  -- The member's own, beside those of its groups.
  scopes          text[] not null,
  scopes_bytes    integer not null,
  version         bigint not null default 1,
  created_at      timestamptz not null default now(),
  updated_at      timestamptz not null default now(),
  unique (account_id, issuer_id, organization_id, id),
  foreign key (account_id, issuer_id) references issuers (account_id, id) on delete cascade,
  -- A user has so few that they go with it.
  foreign key (account_id, issuer_id, user_id) references users (account_id, issuer_id, id) on delete cascade
);
create unique index memberships_user on memberships (organization_id, user_id);
create index memberships_by_user on memberships (account_id, issuer_id, user_id, id desc);

create table group_memberships (
  group_id        text collate "C" not null,
  membership_id   text collate "C" not null,
  account_id      text collate "C" not null,
  issuer_id       text collate "C" not null,
  organization_id text collate "C" not null,
  primary key (account_id, issuer_id, organization_id, group_id, membership_id),
  foreign key (account_id, issuer_id, organization_id, group_id)
    references groups (account_id, issuer_id, organization_id, id) on delete cascade,
  foreign key (account_id, issuer_id, organization_id, membership_id)
    references memberships (account_id, issuer_id, organization_id, id) on delete cascade
);
create index group_memberships_of_member on group_memberships (account_id, issuer_id, organization_id, membership_id);

-- Deleted organizations whose groups and members are still to be taken away.
create table departed_organizations (
  id         text collate "C" primary key,
  account_id text collate "C" not null,
  issuer_id  text collate "C" not null,
  created_at timestamptz not null default now(),
  foreign key (account_id, issuer_id) references issuers (account_id, id) on delete cascade
);
create index departed_organizations_of_issuer on departed_organizations (account_id, issuer_id);

do $$
declare
  tenant_table text;
begin
  foreach tenant_table in array array['groups', 'memberships', 'group_memberships', 'departed_organizations']
  loop
    execute format('alter table %I enable row level security', tenant_table);
    execute format('create policy own_account on %I to gatelodge_app using (account_id = current_account())
      with check (account_id = current_account())', tenant_table);
    execute format('create policy lookup on %I for select to gatelodge_lookup using (true)', tenant_table);
  end loop;
end $$;
grant select, insert, update, delete on groups, memberships, group_memberships, departed_organizations to gatelodge_app;

-- ── Look-ups before the account is known ────────────────────────────────────────────────────────────────────────

grant select on groups, memberships, group_memberships, departed_organizations to gatelodge_lookup;

-- The active organizations of an active user, each with what the member has by itself and by its groups, the oldest
-- membership first. Past so many bytes of scopes in all they are null: nobody may have the service hold more for one user.
create function lookup_user_organizations(
    wanted_account text, wanted_issuer text, wanted_user text, wanted_organization text, most_bytes integer)
  returns table (org_id text, name text, scopes text[])
  language plpgsql stable security definer set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  bytes bigint;
begin
  select coalesce(sum(m.scopes_bytes + coalesce((
      select sum(g.scopes_bytes) from gatelodge.group_memberships x join gatelodge.groups g on g.id = x.group_id
      where x.account_id = m.account_id and x.issuer_id = m.issuer_id and x.organization_id = m.organization_id
        and x.membership_id = m.id), 0)), 0)
    into bytes
  from gatelodge.memberships m
  where m.account_id = wanted_account and m.issuer_id = wanted_issuer and m.user_id = wanted_user
    and (wanted_organization is null or m.organization_id = wanted_organization);
  return query
  select o.id, o.name, case when bytes <= most_bytes then array(
    select s.scope from (
      select unnest(m.scopes) as scope
      union
      select unnest(g.scopes) from gatelodge.group_memberships x join gatelodge.groups g on g.id = x.group_id
      where x.account_id = m.account_id and x.issuer_id = m.issuer_id and x.organization_id = m.organization_id
        and x.membership_id = m.id
    ) s order by s.scope collate "C") end
  from gatelodge.memberships m
  join gatelodge.organizations o on o.id = m.organization_id
  join gatelodge.users u on u.id = m.user_id
  where m.account_id = wanted_account and m.issuer_id = wanted_issuer and m.user_id = wanted_user
    and (wanted_organization is null or m.organization_id = wanted_organization)
    and o.status = 'active' and u.status = 'active'
  order by m.id;
end $$;

create function lookup_departed_organizations(most integer) returns table (id text, account_id text, issuer_id text)
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  -- What goes with its account or issuer is left to the jobs of these.
  select d.id, d.account_id, d.issuer_id
  from gatelodge.departed_organizations d
  join gatelodge.accounts a on a.id = d.account_id
  join gatelodge.issuers i on i.id = d.issuer_id
  where a.status <> 'deleting' and not i.deleting
  order by d.id
  limit most;
end;

grant create on schema gatelodge to gatelodge_lookup;
do $$
declare
  lookup regprocedure;
begin
  foreach lookup in array array[
    'lookup_user_organizations(text, text, text, text, integer)', 'lookup_departed_organizations(integer)']::regprocedure[]
  loop
    execute format('alter function %s owner to gatelodge_lookup', lookup);
    execute format('revoke all on function %s from public', lookup);
    execute format('grant execute on function %s to gatelodge_app', lookup);
  end loop;
end $$;
revoke create on schema gatelodge from gatelodge_lookup;
