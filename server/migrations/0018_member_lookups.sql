-- The organizations of a user in one pass over its memberships and one over their groups. What suspended organizations and
-- those that are being deleted hold counts for nothing, and where all is too much, the organizations with the fewest bytes
-- of scopes are told whole: no organization can take the scopes of another one away by its size.
--
-- Each step is materialized, so that the plan that is kept can't become one which does a step anew for each row of another;
-- for the same reason `is true` keeps what is told from being joined: it is looked up in a hash table.

create or replace function lookup_user_organizations(
    wanted_account text, wanted_issuer text, wanted_user text, wanted_organization text, most_bytes integer)
  returns table (org_id text, name text, scopes text[])
  language plpgsql stable security definer set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
begin
  return query
  with mine as materialized (
    select m.id, m.organization_id, o.name, m.scopes, m.scopes_bytes
    from gatelodge.memberships m
    join gatelodge.organizations o on o.id = m.organization_id
    where m.account_id = wanted_account and m.issuer_id = wanted_issuer and m.user_id = wanted_user
      and (wanted_organization is null or m.organization_id = wanted_organization)
      and o.status = 'active'
      and exists (select from gatelodge.users u where u.id = wanted_user and u.status = 'active')
  ), grants as materialized (
    select m.id, g.scopes, g.scopes_bytes
    from mine m
    join gatelodge.group_memberships x on x.account_id = wanted_account and x.issuer_id = wanted_issuer
      and x.organization_id = m.organization_id and x.membership_id = m.id
    join gatelodge.groups g on g.id = x.group_id
  ), weighed as materialized (
    select m.id, sum(m.bytes) as bytes
    from (select id, scopes_bytes as bytes from mine union all select id, scopes_bytes from grants) m
    group by m.id
  ), told as materialized (
    select w.id
    from (select id, sum(bytes) over (order by bytes, id rows unbounded preceding) as up_to_here from weighed) w
    where w.up_to_here <= most_bytes
  ), granted as materialized (
    select s.id, array_agg(distinct s.scope collate "C" order by s.scope collate "C") as scopes
    from (
      select id, unnest(scopes) as scope from mine where (id in (select id from told)) is true
      union all
      select id, unnest(scopes) from grants where (id in (select id from told)) is true
    ) s
    group by s.id
  )
  select m.organization_id, m.name,
    case when m.id in (select id from told) then coalesce(g.scopes, '{}') end
  from mine m left join granted g on g.id = m.id
  order by m.id;
end $$;
