-- Clients that have registered themselves are known as such.

-- ── Whether a client has registered itself ──────────────────────────────────────────────────────────────────────

grant select (registered_at) on clients to gatelodge_lookup;

-- As lookup_client, and whether nobody of the account has made it.
create function lookup_client_v2(wanted_issuer text, wanted text) returns table (
  id text, account_id text, issuer_id text, name text, type text, confidential boolean, settings jsonb, status text,
  version bigint, issuer_status text, issuer_environment text, account_status text, secrets jsonb, is_registered boolean)
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
      where s.account_id = c.account_id and s.issuer_id = c.issuer_id and s.client_id = c.id), '[]'),
    c.registered_at is not null
  from gatelodge.clients c
  join gatelodge.issuers i on i.id = c.issuer_id
  join gatelodge.accounts a on a.id = c.account_id
  where c.id = wanted and c.issuer_id = wanted_issuer and not c.deleting and not i.deleting;
end $$;

-- ── Whose they are ──────────────────────────────────────────────────────────────────────────────────────────────

grant create on schema gatelodge to gatelodge_lookup;
do $$
declare
  lookup regprocedure;
begin
  for lookup in
    select p.oid from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where n.nspname = 'gatelodge' and p.proname in ('lookup_client_v2')
  loop
    execute format('alter function %s owner to gatelodge_lookup', lookup);
    execute format('revoke all on function %s from public', lookup);
    execute format('grant execute on function %s to gatelodge_app', lookup);
  end loop;
end $$;
revoke create on schema gatelodge from gatelodge_lookup;
