-- Which scopes in organizations the user of a session has agreed to: an external client that is given more later has to ask
-- again before it is told more. Null is whatever the user has; so it is where nobody is asked, as of a client of the issuer's
-- own, and of sessions that nodes of the build before this one begin.
alter table sessions add column organization_scopes text[];
grant select (organization_scopes) on sessions to gatelodge_lookup;

-- As `lookup_client_session`, with these.
create function lookup_client_session_v2(wanted_issuer text, wanted text, token_digests bytea[]) returns table (
  user_id text, client_id text, expires_at timestamptz, ended_at timestamptz, amr text[], userinfo_claims text[],
  organization_scopes text[], username_type text, username text, profile jsonb, user_updated_at timestamptz,
  user_status text, is_revoked boolean)
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select s.user_id, s.client_id, s.expires_at, s.ended_at, s.amr, s.userinfo_claims, s.organization_scopes,
    u.username_type, u.username, u.profile, u.updated_at, u.status, exists (
      select from gatelodge.oidc_records r
      where r.issuer_id = wanted_issuer and r.model = 'RevokedToken' and r.digest = any (token_digests))
  from gatelodge.sessions s
  join gatelodge.users u on u.id = s.user_id
  where s.id = wanted and s.issuer_id = wanted_issuer;
end;

grant create on schema gatelodge to gatelodge_lookup;
alter function lookup_client_session_v2(text, text, bytea[]) owner to gatelodge_lookup;
revoke all on function lookup_client_session_v2(text, text, bytea[]) from public;
grant execute on function lookup_client_session_v2(text, text, bytea[]) to gatelodge_app;
revoke create on schema gatelodge from gatelodge_lookup;
