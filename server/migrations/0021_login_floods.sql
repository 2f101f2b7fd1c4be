-- What strangers can't use up: mails that browsers ask for, and turns of clients that are told of logouts.

-- ── Mails ───────────────────────────────────────────────────────────────────────────────────────────────────────

-- As take_login_budgets_v2; and once strangers have asked for `crowded_from` mails of the key within an hour, each network
-- gets no more than `crowded_ip_limit`, those that it has had included: eight networks could use up what all have. For keys
-- that servers ask by, for all of their users from one address, the limit is the usual one.
create function take_login_budgets_v3(
  of_account text, of_issuer text, of_address bytea, of_key bytea, of_ip bytea, devices bytea[], moment timestamptz,
  spacing interval, address_limit integer, public_limit integer, key_limit integer, public_key_limit integer,
  ip_limit integer, crowded_from integer, crowded_ip_limit integer)
  returns table (wait_seconds integer, is_ahead boolean)
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  hour constant interval := '1 hour';
  until_day constant date := (moment at time zone 'UTC')::date + 2;
  is_known_device constant boolean := exists (
    select from gatelodge.otp_devices d
    where d.digest = any (devices) and d.issuer_id = of_issuer and d.address = of_address and d.expires_at > moment);
  sent timestamptz[];
  public_sent timestamptz[];
  of_the_key timestamptz[];
  public_of_the_key timestamptz[];
  of_the_ip timestamptz[];
  wait interval;
begin
  -- Each row is locked or made, and made again where the sweep has deleted it in between: no budget is ever missed.
  select a.sends, a.public_sends into sent, public_sent from gatelodge.otp_addresses a
    where a.issuer_id = of_issuer and a.address = of_address for update;
  if not found then
    insert into gatelodge.otp_addresses as a (account_id, issuer_id, address, kept_until)
      values (of_account, of_issuer, of_address, until_day)
      on conflict (issuer_id, address) do update set kept_until = greatest(a.kept_until, excluded.kept_until)
      returning a.sends, a.public_sends into sent, public_sent;
  end if;
  select b.takes, b.public_takes into of_the_key, public_of_the_key from gatelodge.login_budgets b
    where b.account_id = of_account and b.kind = 'key' and b.subject = of_key for update;
  if not found then
    insert into gatelodge.login_budgets as b (account_id, kind, subject, kept_until)
      values (of_account, 'key', of_key, until_day)
      on conflict (account_id, kind, subject) do update set kept_until = greatest(b.kept_until, excluded.kept_until)
      returning b.takes, b.public_takes into of_the_key, public_of_the_key;
  end if;
  select b.takes into of_the_ip from gatelodge.login_budgets b
    where b.account_id = of_account and b.kind = 'ip' and b.subject = of_ip for update;
  if not found then
    insert into gatelodge.login_budgets as b (account_id, kind, subject, kept_until)
      values (of_account, 'ip', of_ip, until_day)
      on conflict (account_id, kind, subject) do update set kept_until = greatest(b.kept_until, excluded.kept_until)
      returning b.takes into of_the_ip;
  end if;

  wait := greatest(
    gatelodge.wait_for_budget(sent, 1, spacing, moment),
    gatelodge.wait_for_budget(sent, address_limit, hour, moment),
    gatelodge.wait_for_budget(of_the_key, key_limit, hour, moment),
    gatelodge.wait_for_budget(of_the_ip, ip_limit, hour, moment),
    case when is_known_device then interval '0' else greatest(
      gatelodge.wait_for_budget(public_sent, public_limit, hour, moment),
      gatelodge.wait_for_budget(public_of_the_key, public_key_limit, hour, moment),
      -- Until there is room again for all, or this network has its few.
      least(
        gatelodge.wait_for_budget(public_of_the_key, crowded_from, hour, moment),
        gatelodge.wait_for_budget(of_the_ip, crowded_ip_limit, hour, moment))) end);
  if wait > interval '0' then
    wait_seconds := ceil(extract(epoch from wait));
    is_ahead := gatelodge.is_budget_ahead(sent, moment) or gatelodge.is_budget_ahead(of_the_key, moment)
      or gatelodge.is_budget_ahead(of_the_ip, moment);
    return next;
    return;
  end if;

  update gatelodge.otp_addresses a set
      sends = gatelodge.take_from_budget(sent, address_limit, moment),
      public_sends = case when is_known_device then gatelodge.settle_budget(public_sent, moment)
        else gatelodge.take_from_budget(public_sent, public_limit, moment) end,
      kept_until = greatest(a.kept_until, until_day)
    where a.issuer_id = of_issuer and a.address = of_address;
  update gatelodge.login_budgets b set
      takes = gatelodge.take_from_budget(of_the_key, key_limit, moment),
      public_takes = case when is_known_device then gatelodge.settle_budget(public_of_the_key, moment)
        else gatelodge.take_from_budget(public_of_the_key, public_key_limit, moment) end,
      kept_until = greatest(b.kept_until, until_day)
    where b.account_id = of_account and b.kind = 'key' and b.subject = of_key;
  update gatelodge.login_budgets b
    set takes = gatelodge.take_from_budget(of_the_ip, ip_limit, moment), kept_until = greatest(b.kept_until, until_day)
    where b.account_id = of_account and b.kind = 'ip' and b.subject = of_ip;
  wait_seconds := 0;
  is_ahead := false;
  return next;
end $$;

create or replace function take_login_budgets_v2(
  of_account text, of_issuer text, of_address bytea, of_key bytea, of_ip bytea, devices bytea[], moment timestamptz,
  spacing interval, address_limit integer, public_limit integer, key_limit integer, public_key_limit integer,
  ip_limit integer)
  returns table (wait_seconds integer, is_ahead boolean)
  language sql volatile security definer set search_path = pg_catalog, pg_temp
begin atomic
  select * from gatelodge.take_login_budgets_v3(
    of_account, of_issuer, of_address, of_key, of_ip, devices, moment, spacing, address_limit, public_limit, key_limit,
    public_key_limit, ip_limit, key_limit, ip_limit);
end;

-- ── Turns of logouts ────────────────────────────────────────────────────────────────────────────────────────────

-- As claim_logout_notices_v2, and each account gets no more than `most_each` with those of it that are under way already
-- (`under_way`, one entry each): a node need not wait for the slowest of those before it claims others.
create function claim_logout_notices_v3(
  moment timestamptz, lease_end timestamptz, most integer, most_each integer, under_way text[])
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
  ), turns as materialized (
    select w.account_id, most_each - cardinality(array_positions(under_way, w.account_id)) as room
    from waiting w where w.account_id is not null order by random()
  ), in_turn as materialized (
    select due.id from turns turn
    cross join lateral (
      select d.id from gatelodge.logout_notices d
      join gatelodge.issuers i on i.id = d.issuer_id
      where d.account_id = turn.account_id and d.due_at <= moment and not i.deleting
      order by d.due_at limit greatest(turn.room, 0) for update of d skip locked) as due
    limit most
  )
  update gatelodge.logout_notices n set due_at = lease_end, attempts = n.attempts + 1
  where n.id in (select t.id from in_turn t)
  returning n.*;
end $$;

create or replace function claim_logout_notices_v2(
  moment timestamptz, lease_end timestamptz, most integer, most_each integer)
  returns setof gatelodge.logout_notices
  language sql volatile security definer set search_path = pg_catalog, pg_temp
begin atomic
  select * from gatelodge.claim_logout_notices_v3(moment, lease_end, most, most_each, '{}');
end;

-- ── Whose they are ──────────────────────────────────────────────────────────────────────────────────────────────

grant create on schema gatelodge to gatelodge_lookup;
do $$
declare
  lookup regprocedure;
begin
  for lookup in
    select p.oid from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where n.nspname = 'gatelodge' and p.proname in ('take_login_budgets_v3', 'claim_logout_notices_v3')
  loop
    execute format('alter function %s owner to gatelodge_lookup', lookup);
    execute format('revoke all on function %s from public', lookup);
    execute format('grant execute on function %s to gatelodge_app', lookup);
  end loop;
end $$;
revoke create on schema gatelodge from gatelodge_lookup;
