-- Sessions of users and the refresh tokens that carry them on.

-- ── Sessions ────────────────────────────────────────────────────────────────────────────────────────────────────

create table sessions (
  -- The `sid` of its tokens.
  id           text collate "C" primary key,
  account_id   text collate "C" not null,
  issuer_id    text collate "C" not null,
  user_id      text collate "C" not null,
  client_id    text collate "C" not null,
  -- How the user has shown who it is (RFC 8176), and when.
  amr          text[] not null,
  auth_time    timestamptz not null,
  scopes       text[] not null default '{}',
  -- Of the request that began it.
  ip           text,
  user_agent   text,
  created_at   timestamptz not null,
  -- Of its last refresh token, used or given out.
  last_used_at timestamptz not null,
  expires_at   timestamptz not null,
  -- How often it was refreshed since then: each time leaves a row that stays until it expires, so there is a budget.
  refreshes_since timestamptz not null,
  refreshes    integer not null default 0,
  ended_at     timestamptz,
  end_reason   text check (end_reason in ('logout', 'revoked', 'refresh_reuse', 'user_suspended')),
  version      bigint not null default 1,
  check ((ended_at is null) = (end_reason is null)),
  unique (account_id, issuer_id, id),
  -- Not the user: with a user any number of tokens would go at once. Whoever begins a session holds its user's lock, and
  -- what a deleted user leaves is nobody's until the sweep takes it away in steps.
  foreign key (account_id, issuer_id) references issuers (account_id, id) on delete cascade
);
create index sessions_by_issuer on sessions (account_id, issuer_id, id desc);
create index sessions_by_user on sessions (account_id, issuer_id, user_id, id desc);
-- least() passes over nulls: when it was over, one way or the other.
create index sessions_over on sessions (least(ended_at, expires_at));

-- A token is used once. One that was used stays until it would have expired: shown again, it says that two hold it, and
-- its session ends with every token there is of it.
create table refresh_tokens (
  -- Under the installation secret `refresh-token`; the token itself stands nowhere.
  digest            bytea primary key,
  digest_generation integer not null,
  account_id        text collate "C" not null,
  issuer_id         text collate "C" not null,
  session_id        text collate "C" not null,
  created_at        timestamptz not null,
  expires_at        timestamptz not null,
  used_at           timestamptz,
  foreign key (account_id, issuer_id, session_id) references sessions (account_id, issuer_id, id) on delete cascade
);
create index refresh_tokens_by_session on refresh_tokens (account_id, issuer_id, session_id);
create index refresh_tokens_expiry on refresh_tokens (expires_at);
create index refresh_tokens_generation on refresh_tokens (digest_generation);

do $$
declare
  tenant_table text;
begin
  foreach tenant_table in array array['sessions', 'refresh_tokens']
  loop
    execute format('alter table %I enable row level security', tenant_table);
    execute format('create policy own_account on %I to gatelodge_app using (account_id = current_account())
      with check (account_id = current_account())', tenant_table);
    execute format('create policy lookup on %I for select to gatelodge_lookup using (true)', tenant_table);
  end loop;
end $$;
grant select, insert, update, delete on sessions, refresh_tokens to gatelodge_app;

-- As require_live_secret_generations for API keys: a token that is made while its generation is retired is either counted
-- there or refused here.
create function require_live_refresh_generation() returns trigger
  language plpgsql as $$
begin
  perform pg_advisory_xact_lock_shared(hashtextextended('installation_secret:refresh-token', 0));
  if exists (
    select from made m where not exists (
      select from installation_secrets s where s.purpose = 'refresh-token'
        and s.generation = m.digest_generation and s.retired_at is null)
  ) then
    raise exception 'a refresh token was made under a retired generation of a secret'
      using errcode = 'object_not_in_prerequisite_state';
  end if;
  return null;
end $$;
create trigger live_refresh_generation after insert on refresh_tokens
  referencing new table as made
  for each statement execute function require_live_refresh_generation();
revoke all on function require_live_refresh_generation() from public;

-- ── Look-ups before the account is known ────────────────────────────────────────────────────────────────────────

grant select (id, account_id, issuer_id, user_id, client_id, expires_at, refreshes_since, refreshes, ended_at)
  on sessions to gatelodge_lookup;
grant select (digest, digest_generation, account_id, issuer_id, session_id, expires_at, used_at)
  on refresh_tokens to gatelodge_lookup;
grant select (id, account_id, status) on users to gatelodge_lookup;
grant select (issuer_id, settings) on login_settings to gatelodge_lookup;
create policy lookup on users for select to gatelodge_lookup using (true);
create policy lookup on login_settings for select to gatelodge_lookup using (true);

-- A session that a token names, with all that decides whether the token still counts. Nothing of who the user is.
create function lookup_session(wanted_issuer text, wanted text) returns table (
  account_id text, user_id text, client_id text, audience text, expires_at timestamptz, ended_at timestamptz,
  user_status text, issuer_status text, account_status text)
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select s.account_id, s.user_id, s.client_id, l.settings->>'audience', s.expires_at, s.ended_at,
    u.status, i.status, a.status
  from gatelodge.sessions s
  join gatelodge.users u on u.id = s.user_id
  join gatelodge.issuers i on i.id = s.issuer_id
  join gatelodge.accounts a on a.id = s.account_id
  left join gatelodge.login_settings l on l.issuer_id = s.issuer_id
  where s.id = wanted and s.issuer_id = wanted_issuer and not i.deleting;
end;

-- Whose a refresh token is, and what there is to know of it without a lock: a dead one is refused by that, for a good one
-- it is asked again where it is used.
create function lookup_refresh_token(wanted bytea) returns table (
  account_id text, issuer_id text, session_id text, expires_at timestamptz, used_at timestamptz,
  session_expires_at timestamptz, session_ended_at timestamptz, refreshes integer, refreshes_since timestamptz)
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select t.account_id, t.issuer_id, t.session_id, t.expires_at, t.used_at, s.expires_at, s.ended_at, s.refreshes,
    s.refreshes_since
  from gatelodge.refresh_tokens t
  join gatelodge.sessions s on s.id = t.session_id
  where t.digest = wanted;
end;

-- Accounts with sessions or refresh tokens that were over before some moments.
create function lookup_accounts_with_past_sessions(sessions_before timestamptz, tokens_before timestamptz, most integer)
  returns setof text
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select past.account_id from (
    (select s.account_id from gatelodge.sessions s where least(s.ended_at, s.expires_at) < sessions_before
      order by least(s.ended_at, s.expires_at) limit most)
    union
    (select t.account_id from gatelodge.refresh_tokens t where t.expires_at < tokens_before
      order by t.expires_at limit most)
  ) as past
  join gatelodge.accounts a on a.id = past.account_id
  where a.status <> 'deleting';
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
    else 0 end;
end;

do $$
declare
  lookup regprocedure;
begin
  foreach lookup in array array[
    'lookup_session(text, text)', 'lookup_refresh_token(bytea)',
    'lookup_accounts_with_past_sessions(timestamptz, timestamptz, integer)']::regprocedure[]
  loop
    execute format('alter function %s owner to gatelodge_lookup', lookup);
    execute format('revoke all on function %s from public', lookup);
    execute format('grant execute on function %s to gatelodge_app', lookup);
  end loop;
end $$;
revoke create on schema gatelodge from gatelodge_lookup;
