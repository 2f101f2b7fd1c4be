-- The OIDC runtime of issuers: what its flows keep between requests, and the sessions of its clients.

-- ── Records ─────────────────────────────────────────────────────────────────────────────────────────────────────

-- What a flow has under way: browser logins, interactions, grants, codes, refresh tokens, pushed requests, device codes.
-- Whoever holds the id of one holds a secret, so ids stand here as keyed digests, and what a record says is encrypted.
create table oidc_records (
  issuer_id         text collate "C" not null,
  -- As the library names it: Session, Grant, AuthorizationCode, …
  model             text collate "C" not null,
  -- Of the id, under the installation secret `oidc`, like `user_code`; the same generation seals the record.
  digest            bytea not null,
  secret_generation integer not null,
  account_id        text collate "C" not null,
  sealed            bytea not null,
  user_code         bytea,
  -- Names that open nothing: of a browser login, of what a user has granted, of a session of a client, of a user.
  login_uid         text collate "C",
  grant_id          text collate "C",
  session_id        text collate "C",
  user_id           text collate "C",
  created_at        timestamptz not null,
  expires_at        timestamptz not null,
  -- A used code or token stays until it would have expired: shown again, it says that two hold it.
  consumed_at       timestamptz,
  primary key (issuer_id, model, digest),
  foreign key (account_id, issuer_id) references issuers (account_id, id) on delete cascade
) with (fillfactor = 80);
create index oidc_records_by_issuer on oidc_records (account_id, issuer_id);
create index oidc_records_expiry on oidc_records (expires_at);
create index oidc_records_generation on oidc_records (secret_generation);
create index oidc_records_by_grant on oidc_records (issuer_id, grant_id) where grant_id is not null;
create unique index oidc_records_by_login on oidc_records (issuer_id, login_uid) where model = 'Session';
create index oidc_logins_by_user on oidc_records (issuer_id, user_id) where model = 'Session';
create unique index oidc_records_by_user_code on oidc_records (issuer_id, user_code) where user_code is not null;

-- What a user has once allowed a client, so that a later login does not ask again.
create table oidc_consents (
  issuer_id  text collate "C" not null,
  user_id    text collate "C" not null,
  client_id  text collate "C" not null,
  account_id text collate "C" not null,
  -- { "openid": [scopes], "claims": [names], "resources": { "<uri>": [scopes] } }
  granted    jsonb not null,
  updated_at timestamptz not null,
  primary key (issuer_id, user_id, client_id),
  foreign key (account_id, issuer_id, user_id) references users (account_id, issuer_id, id) on delete cascade
);
create index oidc_consents_by_user on oidc_consents (account_id, issuer_id, user_id);

create table oidc_settings (
  issuer_id  text collate "C" primary key,
  account_id text collate "C" not null,
  settings   jsonb not null,
  version    bigint not null default 1,
  updated_at timestamptz not null default now(),
  foreign key (account_id, issuer_id) references issuers (account_id, id) on delete cascade
);
create index oidc_settings_of_account on oidc_settings (account_id, issuer_id);

-- Clients that are to be told that a session of theirs has ended (OpenID Connect Back-Channel Logout 1.0).
create table logout_notices (
  id         text collate "C" primary key,
  account_id text collate "C" not null,
  issuer_id  text collate "C" not null,
  client_id  text collate "C" not null,
  user_id    text collate "C" not null,
  session_id text collate "C" not null,
  created_at timestamptz not null,
  due_at     timestamptz not null,
  attempts   integer not null default 0,
  foreign key (account_id, issuer_id) references issuers (account_id, id) on delete cascade
);
create index logout_notices_due on logout_notices (due_at);
create index logout_notices_by_issuer on logout_notices (account_id, issuer_id);

do $$
declare
  tenant_table text;
begin
  foreach tenant_table in array array['oidc_records', 'oidc_consents', 'oidc_settings', 'logout_notices']
  loop
    execute format('alter table %I enable row level security', tenant_table);
    execute format('create policy own_account on %I to gatelodge_app using (account_id = current_account())
      with check (account_id = current_account())', tenant_table);
    execute format('create policy lookup on %I for select to gatelodge_lookup using (true)', tenant_table);
  end loop;
end $$;
grant select, insert, update, delete on oidc_records, oidc_consents, oidc_settings, logout_notices to gatelodge_app;

-- As require_live_refresh_generation: a record that is made while its generation is retired is either counted there or
-- refused here.
create function require_live_oidc_generation() returns trigger
  language plpgsql as $$
begin
  perform pg_advisory_xact_lock_shared(hashtextextended('installation_secret:oidc', 0));
  if exists (
    select from made m where not exists (
      select from installation_secrets s where s.purpose = 'oidc'
        and s.generation = m.secret_generation and s.retired_at is null)
  ) then
    raise exception 'an OIDC record was made under a retired generation of a secret'
      using errcode = 'object_not_in_prerequisite_state';
  end if;
  return null;
end $$;
create trigger live_oidc_generation after insert on oidc_records
  referencing new table as made
  for each statement execute function require_live_oidc_generation();
revoke all on function require_live_oidc_generation() from public;

-- What nodes hold of an issuer's runtime depends on these settings too.
create trigger notify_change after insert or update on login_settings
  for each row execute function notify_change('issuer', 'issuer_id');
create trigger notify_change after insert or update on oidc_settings
  for each row execute function notify_change('issuer', 'issuer_id');

-- Clients that have registered themselves (RFC 7591): an issuer has a quota of them.
alter table clients add column registered_at timestamptz;
create index clients_registered on clients (account_id, issuer_id) where registered_at is not null;

-- ── Sessions of clients ─────────────────────────────────────────────────────────────────────────────────────────

-- A browser login has a session for each client that it signs in to. null for one of the built-in client.
alter table sessions add column login_uid text collate "C";
-- What the client has asked the userinfo endpoint to tell of the user, besides what its scopes say.
alter table sessions add column userinfo_claims text[] not null default '{}';
create index sessions_by_login on sessions (account_id, issuer_id, login_uid) where login_uid is not null;
alter table sessions drop constraint sessions_end_reason_check;
alter table sessions add constraint sessions_end_reason_check check (end_reason in (
  'logout', 'revoked', 'refresh_reuse', 'code_reuse', 'token_revoked', 'user_suspended', 'client_deleted'));

-- ── Look-ups before the account is known ────────────────────────────────────────────────────────────────────────

grant select (issuer_id, model, digest, secret_generation, account_id, sealed, user_code, login_uid, grant_id, session_id,
  user_id, expires_at, consumed_at) on oidc_records to gatelodge_lookup;
grant select (issuer_id, user_id, client_id, granted) on oidc_consents to gatelodge_lookup;
grant select (issuer_id, settings) on oidc_settings to gatelodge_lookup;
grant select, update on logout_notices to gatelodge_lookup;
create policy claim on logout_notices for update to gatelodge_lookup using (true);
grant select (login_uid, amr, auth_time, userinfo_claims) on sessions to gatelodge_lookup;
grant select (issuer_id, username_type, username, profile, created_at, updated_at) on users to gatelodge_lookup;

-- One record of an issuer by a digest of its id, of the name of a browser login or of a user code. Nothing of a user or a
-- session that is not active any more.
create function lookup_oidc_record(
  wanted_issuer text, wanted_model text, digests bytea[], wanted_login text, user_codes bytea[])
  returns table (
    digest bytea, secret_generation integer, sealed bytea, session_id text, expires_at timestamptz,
    consumed_at timestamptz)
  language plpgsql stable security definer set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
begin
  if wanted_login is not null then
    return query select r.digest, r.secret_generation, r.sealed, r.session_id, r.expires_at, r.consumed_at
    from gatelodge.oidc_records r
    left join gatelodge.users u on u.id = r.user_id
    left join gatelodge.sessions s on s.id = r.session_id
    where r.issuer_id = wanted_issuer and r.model = 'Session' and r.login_uid = wanted_login
      and (r.user_id is null or u.status = 'active')
      and (r.session_id is null or s.ended_at is null and s.id is not null);
  elsif user_codes is not null then
    return query select r.digest, r.secret_generation, r.sealed, r.session_id, r.expires_at, r.consumed_at
    from gatelodge.oidc_records r
    left join gatelodge.users u on u.id = r.user_id
    left join gatelodge.sessions s on s.id = r.session_id
    where r.issuer_id = wanted_issuer and r.model = wanted_model and r.user_code = any (user_codes)
      and (r.user_id is null or u.status = 'active')
      and (r.session_id is null or s.ended_at is null and s.id is not null);
  else
    return query select r.digest, r.secret_generation, r.sealed, r.session_id, r.expires_at, r.consumed_at
    from gatelodge.oidc_records r
    left join gatelodge.users u on u.id = r.user_id
    left join gatelodge.sessions s on s.id = r.session_id
    where r.issuer_id = wanted_issuer and r.model = wanted_model and r.digest = any (digests)
      and (r.user_id is null or u.status = 'active')
      and (r.session_id is null or s.ended_at is null and s.id is not null);
  end if;
end $$;

-- What decides how an issuer's runtime works.
create function lookup_oidc_settings(wanted_issuer text)
  returns table (name text, login_settings jsonb, oidc_settings jsonb)
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select i.name, l.settings, o.settings
  from gatelodge.issuers i
  left join gatelodge.login_settings l on l.issuer_id = i.id
  left join gatelodge.oidc_settings o on o.issuer_id = i.id
  where i.id = wanted_issuer and not i.deleting;
end;

-- A user who may sign in, and what it has allowed a client.
create function lookup_oidc_user(wanted_issuer text, wanted text, wanted_client text) returns table (
  username_type text, username text, profile jsonb, updated_at timestamptz, granted jsonb)
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select u.username_type, u.username, u.profile, u.updated_at, c.granted
  from gatelodge.users u
  left join gatelodge.oidc_consents c
    on c.issuer_id = u.issuer_id and c.user_id = u.id and c.client_id = wanted_client
  where u.id = wanted and u.issuer_id = wanted_issuer and u.status = 'active';
end;

-- A session that an access token names, with its user, and whether the token itself has been revoked.
create function lookup_client_session(wanted_issuer text, wanted text, token_digests bytea[]) returns table (
  user_id text, client_id text, expires_at timestamptz, ended_at timestamptz, amr text[], userinfo_claims text[],
  username_type text, username text, profile jsonb, user_updated_at timestamptz, user_status text, is_revoked boolean)
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select s.user_id, s.client_id, s.expires_at, s.ended_at, s.amr, s.userinfo_claims, u.username_type, u.username, u.profile,
    u.updated_at, u.status, exists (
      select from gatelodge.oidc_records r
      where r.issuer_id = wanted_issuer and r.model = 'RevokedToken' and r.digest = any (token_digests))
  from gatelodge.sessions s
  join gatelodge.users u on u.id = s.user_id
  where s.id = wanted and s.issuer_id = wanted_issuer;
end;

-- Whether a token that names no session has been revoked.
create function lookup_revoked_token(wanted_issuer text, token_digests bytea[]) returns table (is_revoked boolean)
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select exists (
    select from gatelodge.oidc_records r
    where r.issuer_id = wanted_issuer and r.model = 'RevokedToken' and r.digest = any (token_digests));
end;

-- Takes notices that are due for the length of a lease: of nodes at the same time each gets others.
create function claim_logout_notices(moment timestamptz, lease_end timestamptz, most integer)
  returns setof gatelodge.logout_notices
  language sql volatile security definer set search_path = pg_catalog, pg_temp
begin atomic
  update gatelodge.logout_notices n set due_at = lease_end, attempts = n.attempts + 1
  where n.id in (
    select d.id from gatelodge.logout_notices d
    join gatelodge.issuers i on i.id = d.issuer_id
    where d.due_at <= moment and not i.deleting
    order by d.due_at limit most for update of d skip locked)
  returning n.*;
end;

-- Accounts with records that have expired.
create function lookup_accounts_with_past_oidc_records(before timestamptz, most integer) returns setof text
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select distinct past.account_id from (
    select r.account_id from gatelodge.oidc_records r where r.expires_at < before order by r.expires_at limit most
  ) as past
  join gatelodge.accounts a on a.id = past.account_id
  where a.status <> 'deleting';
end;

grant create on schema gatelodge to gatelodge_lookup;
-- How much still needs a generation of a secret; it may only be retired at zero.
create function lookup_oidc_of_generation(wanted_purpose text, wanted_generation integer) returns bigint
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select case when wanted_purpose = 'oidc' then (
    select count(*) from gatelodge.oidc_records r
    where r.secret_generation = wanted_generation and r.expires_at > now()) else 0 end;
end;

do $$
declare
  lookup regprocedure;
begin
  for lookup in
    select p.oid from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where n.nspname = 'gatelodge' and p.proname in ('lookup_oidc_record', 'lookup_oidc_settings', 'lookup_oidc_user',
      'lookup_client_session', 'lookup_revoked_token', 'claim_logout_notices', 'lookup_accounts_with_past_oidc_records',
      'lookup_oidc_of_generation')
  loop
    execute format('alter function %s owner to gatelodge_lookup', lookup);
    execute format('revoke all on function %s from public', lookup);
    execute format('grant execute on function %s to gatelodge_app', lookup);
  end loop;
end $$;
revoke create on schema gatelodge from gatelodge_lookup;
