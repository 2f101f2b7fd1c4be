-- The look-ups that a cold key waits for keep their plan: a function in SQL is planned anew for each call (until Postgres
-- 18, and there five times a connection), which takes longer than to carry it out.

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
  where k.digest = wanted and i.deleting is not true;
end $$;
