-- Logouts are told to clients account by account.

create index logout_notices_in_turn on logout_notices (account_id, due_at);

-- As claim_logout_notices, and no more than so many of each account: one whose receivers do not answer holds up its own. Which
-- accounts come first is left to chance, so that none is always last.
create function claim_logout_notices_v2(moment timestamptz, lease_end timestamptz, most integer, most_each integer)
  returns setof gatelodge.logout_notices
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  with recursive waiting as (
    (select d.account_id from gatelodge.logout_notices d order by d.account_id limit 1)
    union all
    select (select d.account_id from gatelodge.logout_notices d where d.account_id > w.account_id
      order by d.account_id limit 1)
    from waiting w where w.account_id is not null
  ), in_turn as materialized (
    select due.id from (select w.account_id from waiting w where w.account_id is not null order by random()) as turn
    cross join lateral (
      select d.id from gatelodge.logout_notices d
      join gatelodge.issuers i on i.id = d.issuer_id
      where d.account_id = turn.account_id and d.due_at <= moment and not i.deleting
      order by d.due_at limit most_each for update of d skip locked) as due
    limit most
  )
  update gatelodge.logout_notices n set due_at = lease_end, attempts = n.attempts + 1
  where n.id in (select t.id from in_turn t)
  returning n.*;
end $$;

grant create on schema gatelodge to gatelodge_lookup;
alter function claim_logout_notices_v2(timestamptz, timestamptz, integer, integer) owner to gatelodge_lookup;
revoke all on function claim_logout_notices_v2(timestamptz, timestamptz, integer, integer) from public;
grant execute on function claim_logout_notices_v2(timestamptz, timestamptz, integer, integer) to gatelodge_app;
revoke create on schema gatelodge from gatelodge_lookup;
