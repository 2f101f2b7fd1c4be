-- ── Verified addresses ──────────────────────────────────────────────────────────────────────────────────────────

-- Since when a user has the username that it has, where that is not the one it was made with: whoever has signed in before
-- has shown that another address was its own.
alter table users add column username_changed_at timestamptz;
grant select (username_changed_at) on users to gatelodge_lookup;

-- As `lookup_oidc_user`, with that.
create function lookup_oidc_user_v2(wanted_issuer text, wanted text, wanted_client text) returns table (
  username_type text, username text, username_changed_at timestamptz, profile jsonb, updated_at timestamptz, granted jsonb)
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select u.username_type, u.username, u.username_changed_at, u.profile, u.updated_at, c.granted
  from gatelodge.users u
  left join gatelodge.oidc_consents c
    on c.issuer_id = u.issuer_id and c.user_id = u.id and c.client_id = wanted_client
  where u.id = wanted and u.issuer_id = wanted_issuer and u.status = 'active';
end;

-- As `lookup_client_session_v2`, with that and with when the user signed in.
create function lookup_client_session_v3(wanted_issuer text, wanted text, token_digests bytea[]) returns table (
  user_id text, client_id text, expires_at timestamptz, ended_at timestamptz, amr text[], auth_time timestamptz,
  userinfo_claims text[], organization_scopes text[], username_type text, username text, username_changed_at timestamptz,
  profile jsonb, user_updated_at timestamptz, user_status text, is_revoked boolean)
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select s.user_id, s.client_id, s.expires_at, s.ended_at, s.amr, s.auth_time, s.userinfo_claims, s.organization_scopes,
    u.username_type, u.username, u.username_changed_at, u.profile, u.updated_at, u.status, exists (
      select from gatelodge.oidc_records r
      where r.issuer_id = wanted_issuer and r.model = 'RevokedToken' and r.digest = any (token_digests))
  from gatelodge.sessions s
  join gatelodge.users u on u.id = s.user_id
  where s.id = wanted and s.issuer_id = wanted_issuer;
end;

-- ── Records of sessions that are forgotten ──────────────────────────────────────────────────────────────────────

grant select (created_at) on oidc_records to gatelodge_lookup;
grant select (created_at) on sessions to gatelodge_lookup;

-- As `lookup_oidc_record`; and what was given out in a session is not found in a later one of the same id: the job that
-- forgets sessions does so long before the last of their tokens has expired. Clocks of nodes may be an hour apart.
create function lookup_oidc_record_v2(
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
    where r.issuer_id = wanted_issuer and r.model = 'Session' and r.login_uid = wanted_login
      and (r.user_id is null or u.status = 'active');
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
      and (r.session_id is null or s.ended_at is null and s.id is not null
        -- A device waits for its session.
        and (r.model = 'DeviceCode' or s.created_at <= r.created_at + interval '1 hour'));
  end if;
end $$;

-- ── Users with very many sessions ───────────────────────────────────────────────────────────────────────────────

-- One request ends so many of a user's; those that were begun up to then a job ends, for this reason.
alter table users add column sessions_end_before timestamptz;
alter table users add column sessions_end_reason text check (sessions_end_reason in ('revoked', 'user_suspended'));
alter table users add constraint users_sessions_end check ((sessions_end_before is null) = (sessions_end_reason is null));
grant select (sessions_end_before, sessions_end_reason) on users to gatelodge_lookup;

-- Those of an issuer or an account that is going itself go with it.
create function lookup_users_with_ending_sessions(most integer) returns table (
  id text, account_id text, issuer_id text, environment text, ends_before timestamptz, reason text)
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select u.id, u.account_id, u.issuer_id, i.environment, u.sessions_end_before, u.sessions_end_reason
  from gatelodge.users u
  join gatelodge.issuers i on i.id = u.issuer_id
  join gatelodge.accounts a on a.id = u.account_id
  where u.sessions_end_before is not null and not i.deleting and a.status <> 'deleting'
  order by u.sessions_end_before limit most;
end;

grant create on schema gatelodge to gatelodge_lookup;
do $$
declare
  made regprocedure;
begin
  for made in
    select p.oid::regprocedure from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where n.nspname = 'gatelodge'
      and p.proname in ('lookup_oidc_user_v2', 'lookup_client_session_v3', 'lookup_oidc_record_v2',
        'lookup_users_with_ending_sessions')
  loop
    execute format('alter function %s owner to gatelodge_lookup', made);
    execute format('revoke all on function %s from public', made);
    execute format('grant execute on function %s to gatelodge_app', made);
  end loop;
end $$;
revoke create on schema gatelodge from gatelodge_lookup;
