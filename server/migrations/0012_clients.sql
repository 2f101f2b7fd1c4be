-- Clients: the applications that may sign users of an issuer in, and their secrets.

-- ── Clients ─────────────────────────────────────────────────────────────────────────────────────────────────────

create table clients (
  -- The `client_id` of OAuth.
  id           text collate "C" primary key,
  account_id   text collate "C" not null,
  issuer_id    text collate "C" not null,
  name         text not null,
  type         text not null check (type in ('external', 'first_party')),
  confidential boolean not null,
  -- Whole, every default spelled out (clients/client-settings.ts): what reads it adds nothing.
  settings     jsonb not null,
  metadata     jsonb not null default '{}',
  status       text not null default 'active' check (status in ('active', 'suspended')),
  -- Deleted, as far as anybody can tell: a job ends its sessions in steps, and takes the row away then.
  deleting     boolean not null default false,
  version      bigint not null default 1,
  created_at   timestamptz not null default now(),
  updated_at   timestamptz not null default now(),
  unique (account_id, issuer_id, id),
  foreign key (account_id, issuer_id) references issuers (account_id, id) on delete cascade
);
create index clients_by_issuer on clients (account_id, issuer_id, id desc);
create index clients_by_name on clients (account_id, issuer_id, name collate "C", id);
create index clients_deleting on clients (id) where deleting;

-- ── Their secrets ───────────────────────────────────────────────────────────────────────────────────────────────

-- At most two of a client: the newest, which has no end, and the one before it until its grace ends.
create table client_secrets (
  id                text collate "C" primary key,
  account_id        text collate "C" not null,
  issuer_id         text collate "C" not null,
  client_id         text collate "C" not null,
  -- Under the installation secret `client-secret`, bound to the client; the secret itself stands nowhere.
  digest            bytea not null,
  digest_generation integer not null,
  hint              text not null,
  created_at        timestamptz not null,
  expires_at        timestamptz,
  foreign key (account_id, issuer_id, client_id) references clients (account_id, issuer_id, id) on delete cascade
);
-- However many rotate at once, one secret is without an end.
create unique index client_secrets_one_without_end on client_secrets (client_id) where expires_at is null;
create index client_secrets_of_client on client_secrets (account_id, issuer_id, client_id, id desc);
create index client_secrets_generation on client_secrets (digest_generation);

do $$
declare
  tenant_table text;
begin
  foreach tenant_table in array array['clients', 'client_secrets']
  loop
    execute format('alter table %I enable row level security', tenant_table);
    execute format('create policy own_account on %I to gatelodge_app using (account_id = current_account())
      with check (account_id = current_account())', tenant_table);
    execute format('create policy lookup on %I for select to gatelodge_lookup using (true)', tenant_table);
  end loop;
end $$;
grant select, insert, update, delete on clients to gatelodge_app;
grant select, insert, update (expires_at), delete on client_secrets to gatelodge_app;

-- Whatever changes a client's secrets raises its version: one notice tells of both.
create trigger notify_update after update on clients
  for each row when (old.version <> new.version) execute function notify_change('client', 'id');
create trigger notify_delete after delete on clients
  for each row when (pg_trigger_depth() = 0 and current_setting('gatelodge.parent_is_going', true) is distinct from 'on')
  execute function notify_change('client', 'id');

-- As require_live_secret_generations for API keys: a secret that is made while its generation is retired is either counted
-- there or refused here.
create function require_live_client_secret_generation() returns trigger
  language plpgsql as $$
begin
  perform pg_advisory_xact_lock_shared(hashtextextended('installation_secret:client-secret', 0));
  if exists (
    select from made m where not exists (
      select from installation_secrets s where s.purpose = 'client-secret'
        and s.generation = m.digest_generation and s.retired_at is null)
  ) then
    raise exception 'a client secret was made under a retired generation of a secret'
      using errcode = 'object_not_in_prerequisite_state';
  end if;
  return null;
end $$;
create trigger live_client_secret_generation after insert on client_secrets
  referencing new table as made
  for each statement execute function require_live_client_secret_generation();
revoke all on function require_live_client_secret_generation() from public;

-- ── Sessions ────────────────────────────────────────────────────────────────────────────────────────────────────

alter table sessions
  drop constraint sessions_end_reason_check,
  add constraint sessions_end_reason_check check (
    end_reason in ('logout', 'revoked', 'refresh_reuse', 'user_suspended', 'client_deleted'));
-- The built-in client is never deleted.
create index sessions_by_client on sessions (account_id, issuer_id, client_id, id)
  where ended_at is null and client_id <> 'otp';

-- ── Look-ups before the account is known ────────────────────────────────────────────────────────────────────────

grant select (id, account_id, issuer_id, name, type, confidential, settings, status, deleting, version)
  on clients to gatelodge_lookup;
grant select (id, account_id, issuer_id, client_id, digest, digest_generation, expires_at) on client_secrets to gatelodge_lookup;

-- A client by its id, with all that decides what it may do, in one call. Its secrets come whole: whether one has expired
-- is for whoever asks to say, for it holds on to the answer. Planned once a connection, as 0011 says.
create function lookup_client(wanted_issuer text, wanted text) returns table (
  id text, account_id text, issuer_id text, name text, type text, confidential boolean, settings jsonb, status text,
  version bigint, issuer_status text, issuer_environment text, account_status text, secrets jsonb)
  language plpgsql stable security definer set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
begin
  return query
  select c.id, c.account_id, c.issuer_id, c.name, c.type, c.confidential, c.settings, c.status, c.version,
    i.status, i.environment, a.status,
    coalesce((
      select jsonb_agg(jsonb_build_object(
        'digest', encode(s.digest, 'hex'), 'generation', s.digest_generation,
        'expires_at_ms', floor(extract(epoch from s.expires_at) * 1000)) order by s.id desc)
      from gatelodge.client_secrets s
      where s.account_id = c.account_id and s.issuer_id = c.issuer_id and s.client_id = c.id), '[]')
  from gatelodge.clients c
  join gatelodge.issuers i on i.id = c.issuer_id
  join gatelodge.accounts a on a.id = c.account_id
  where c.id = wanted and c.issuer_id = wanted_issuer and not c.deleting and not i.deleting;
end $$;

-- Those of an issuer or an account that is going itself go with it.
create function lookup_deleting_clients(most integer) returns table (id text, account_id text, issuer_id text, environment text)
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select c.id, c.account_id, c.issuer_id, i.environment from gatelodge.clients c
  join gatelodge.issuers i on i.id = c.issuer_id
  join gatelodge.accounts a on a.id = c.account_id
  where c.deleting and not i.deleting and a.status <> 'deleting'
  order by c.id limit most;
end;

grant create on schema gatelodge to gatelodge_lookup;
-- How much still needs a generation of a secret; it may only be retired at zero.
create or replace function lookup_keys_of_generation(wanted_purpose text, wanted_generation integer) returns bigint
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select case wanted_purpose
    when 'api-key-digest' then (select count(*) from gatelodge.api_keys k
      where k.digest_generation = wanted_generation and k.status <> 'revoked')
    when 'api-key-check' then (select count(*) from gatelodge.api_keys k
      where k.check_generation = wanted_generation and k.status <> 'revoked')
    when 'signing-key' then (select count(*) from gatelodge.signing_keys k
      where k.secret_generation = wanted_generation)
    -- Used ones too: shown again, they have to be known for what they are.
    when 'refresh-token' then (select count(*) from gatelodge.refresh_tokens t
      where t.digest_generation = wanted_generation and t.expires_at > now())
    when 'client-secret' then (select count(*) from gatelodge.client_secrets s
      where s.digest_generation = wanted_generation and (s.expires_at is null or s.expires_at > now()))
    else 0 end;
end;

do $$
declare
  lookup regprocedure;
begin
  foreach lookup in array array['lookup_client(text, text)', 'lookup_deleting_clients(integer)']::regprocedure[]
  loop
    execute format('alter function %s owner to gatelodge_lookup', lookup);
    execute format('revoke all on function %s from public', lookup);
    execute format('grant execute on function %s to gatelodge_app', lookup);
  end loop;
end $$;
revoke create on schema gatelodge from gatelodge_lookup;
