-- Budgets of sign-in by code that hold under a flood, and turns for mails that wait.
--
-- Nodes of the build before this one go on with the functions that they know; what is replaced here is what is inside them.

-- ── Clocks ──────────────────────────────────────────────────────────────────────────────────────────────────────
--
-- Moments come from the node that asks. Those of a node whose clock was ahead would close a budget until that time has
-- come: what lies more than five minutes ahead counts as of now, in waits as in what is kept.

-- Stable, as what they add up is: only so they are put into the statements that call them instead of being called.

create function is_budget_ahead(takes timestamptz[], moment timestamptz) returns boolean
  language sql stable parallel safe
  return coalesce(takes[cardinality(takes)] > moment + interval '5 minutes', false);

-- The takes without what no clock that is right has written, oldest first as they were.
create function settle_budget(takes timestamptz[], moment timestamptz) returns timestamptz[]
  language sql stable parallel safe
  return case when gatelodge.is_budget_ahead(takes, moment)
    then array(select least(t.at, moment) from unnest(takes) with ordinality as t (at, place) order by t.place)
    else takes end;

-- How long until one more is allowed, at most the span; zero where it is now.
create or replace function wait_for_budget(takes timestamptz[], most integer, span interval, moment timestamptz)
  returns interval language sql stable parallel safe
  return case when cardinality(takes) < most then interval '0'
    else least(greatest(takes[cardinality(takes) - most + 1] + span - moment, interval '0'), span) end;

-- The takes with one more, the newest `kept` of them.
create or replace function take_from_budget(takes timestamptz[], kept integer, moment timestamptz)
  returns timestamptz[] language sql stable parallel safe
  return case when gatelodge.is_budget_ahead(takes, moment)
    then (gatelodge.settle_budget(takes, moment))[greatest(cardinality(takes) - kept + 2, 1):] || moment
    else takes[greatest(cardinality(takes) - kept + 2, 1):] || greatest(moment, takes[cardinality(takes)]) end;

-- ── Budgets of keys and networks ────────────────────────────────────────────────────────────────────────────────

alter table login_budgets
  -- Those among them that did not come from a device that has signed in.
  add column public_takes timestamptz[] not null default '{}',
  drop constraint login_budgets_kind_check,
  -- `guess`: guesses from an IP address, whatever they are at.
  add constraint login_budgets_kind_check check (kind in ('key', 'ip', 'guess'));
update login_budgets set public_takes = takes where kind = 'key';

-- As take_login_budgets, with a part of the key's mails that is left for devices that have signed in. `is_ahead`: it was
-- refused by what a clock that was ahead has left; see settle_login_budgets.
--
-- A mail that is withheld takes as much as any. Were it otherwise, whoever has used a budget up but for one could ask for
-- somebody's code, and see by what is left whether it was mailed.
create function take_login_budgets_v2(
  of_account text, of_issuer text, of_address bytea, of_key bytea, of_ip bytea, devices bytea[], moment timestamptz,
  spacing interval, address_limit integer, public_limit integer, key_limit integer, public_key_limit integer,
  ip_limit integer)
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
      gatelodge.wait_for_budget(public_of_the_key, public_key_limit, hour, moment)) end);
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

-- Sets what lies ahead in budgets that have refused somebody to now, so that they are free again one span later. On its
-- own: the transaction of whoever was refused is rolled back. Locks as take_login_budgets_v2 does.
create function settle_login_budgets(
  of_account text, of_issuer text, of_address bytea, of_key bytea, of_ip bytea, moment timestamptz) returns void
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  update gatelodge.otp_addresses a set
      sends = gatelodge.settle_budget(a.sends, moment), public_sends = gatelodge.settle_budget(a.public_sends, moment)
    where a.issuer_id = of_issuer and a.address = of_address;
  update gatelodge.login_budgets b set
      takes = gatelodge.settle_budget(b.takes, moment), public_takes = gatelodge.settle_budget(b.public_takes, moment)
    where b.account_id = of_account and b.kind = 'key' and b.subject = of_key;
  update gatelodge.login_budgets b set takes = gatelodge.settle_budget(b.takes, moment)
    where b.account_id = of_account and b.kind = 'ip' and b.subject = of_ip;
end $$;

-- What lies ahead is settled whether or not the mail is capped: that it is, is no refusal.
create or replace function take_mail_cap(
  of_issuer text, of_address bytea, of_all bytea, is_wanted boolean, moment timestamptz, cap_limit integer)
  returns boolean language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  until_day constant date := (moment at time zone 'UTC')::date + 2;
  has_signed_in constant boolean := exists (
    select from gatelodge.otp_devices d
    where d.issuer_id = of_issuer and d.address = of_address and d.expires_at > moment);
  to_all timestamptz[];
  is_capped boolean;
begin
  insert into gatelodge.otp_mail_caps as c (address, kept_until) values (of_all, until_day)
    on conflict (address) do update set kept_until = greatest(c.kept_until, excluded.kept_until)
    returning c.takes into to_all;
  is_capped := not has_signed_in
    and gatelodge.wait_for_budget(to_all, cap_limit, '1 hour', moment) > interval '0';
  update gatelodge.otp_mail_caps c
    set takes = case when is_wanted and not is_capped then gatelodge.take_from_budget(to_all, cap_limit, moment)
      else gatelodge.settle_budget(to_all, moment) end
    where c.address = of_all;
  return is_capped;
end $$;

-- As take_otp_guess, with a budget of the network that guesses, whatever at; a part of it is left for devices that have
-- signed in. Once that is used up nothing is written any more: addresses can be made up without end.
--
-- `longest_lifetime`: no code is good for longer. What claims to be, a clock that was ahead has written.
create function take_otp_guess_v2(
  of_account text, of_issuer text, of_address bytea, of_ip bytea, devices bytea[], moment timestamptz, code_limit integer,
  usual_lifetime interval, longest_lifetime interval, hour_limit integer, day_limit integer, public_hour_limit integer,
  public_day_limit integer, ip_limit integer, public_ip_limit integer)
  returns table (
    wait_seconds integer, attempts_left integer, device bytea, code_id text, mac bytea, mac_generation integer)
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  hour constant interval := '1 hour';
  day constant interval := '24 hours';
  until_day constant date := (moment at time zone 'UTC')::date + 2;
  latest_end constant timestamptz := moment + longest_lifetime + interval '5 minutes';
  made gatelodge.otp_addresses;
  of_the_ip timestamptz[];
  public_of_the_ip timestamptz[];
  is_over boolean;
  is_ahead boolean;
begin
  -- Nobody is answered before a transaction has been committed that comes after this: it flushes this one as well.
  perform set_config('synchronous_commit', 'off', true);
  if cardinality(devices) > 0 then
    select d.digest into device from gatelodge.otp_devices d
      where d.digest = any (devices) and d.issuer_id = of_issuer and d.address = of_address and d.expires_at > moment
      limit 1;
  end if;
  -- A look without a lock, which spares whoever floods the writing; what passes it is counted exactly below.
  select b.takes, b.public_takes into of_the_ip, public_of_the_ip from gatelodge.login_budgets b
    where b.account_id = of_account and b.kind = 'guess' and b.subject = of_ip;
  is_over := not gatelodge.is_budget_ahead(of_the_ip, moment) and (
    gatelodge.wait_for_budget(of_the_ip, ip_limit, hour, moment) > interval '0'
    or device is null and gatelodge.wait_for_budget(public_of_the_ip, public_ip_limit, hour, moment) > interval '0');
  if is_over then
    select a.* into made from gatelodge.otp_addresses a where a.issuer_id = of_issuer and a.address = of_address;
  else
    select a.* into made from gatelodge.otp_addresses a
      where a.issuer_id = of_issuer and a.address = of_address for update;
    if not found then
      insert into gatelodge.otp_addresses as a (account_id, issuer_id, address, kept_until)
        values (of_account, of_issuer, of_address, until_day)
        on conflict (issuer_id, address) do update set kept_until = greatest(a.kept_until, excluded.kept_until)
        returning a.* into made;
    end if;
    select b.takes, b.public_takes into of_the_ip, public_of_the_ip from gatelodge.login_budgets b
      where b.account_id = of_account and b.kind = 'guess' and b.subject = of_ip for update;
    if not found then
      insert into gatelodge.login_budgets as b (account_id, kind, subject, kept_until)
        values (of_account, 'guess', of_ip, until_day)
        on conflict (account_id, kind, subject) do update set kept_until = greatest(b.kept_until, excluded.kept_until)
        returning b.takes, b.public_takes into of_the_ip, public_of_the_ip;
    end if;
  end if;
  is_ahead := made.window_ends_at > latest_end or gatelodge.is_budget_ahead(made.guesses, moment)
    or gatelodge.is_budget_ahead(of_the_ip, moment);
  if made.window_ends_at > latest_end then
    made.window_ends_at := moment + usual_lifetime;
  end if;
  if coalesce(made.window_ends_at <= moment, true) then
    made.window_ends_at := moment + usual_lifetime;
    made.window_guesses := 0;
  end if;

  wait_seconds := ceil(extract(epoch from greatest(
    case when made.window_guesses >= code_limit then made.window_ends_at - moment else interval '0' end,
    gatelodge.wait_for_budget(made.guesses, hour_limit, hour, moment),
    gatelodge.wait_for_budget(made.guesses, day_limit, day, moment),
    gatelodge.wait_for_budget(of_the_ip, ip_limit, hour, moment),
    case when device is not null then interval '0' else greatest(
      gatelodge.wait_for_budget(made.public_guesses, public_hour_limit, hour, moment),
      gatelodge.wait_for_budget(made.public_guesses, public_day_limit, day, moment),
      gatelodge.wait_for_budget(public_of_the_ip, public_ip_limit, hour, moment)) end)))::integer;
  if wait_seconds > 0 then
    attempts_left := 0;
    if is_ahead and not is_over then
      update gatelodge.otp_addresses a set
          window_ends_at = made.window_ends_at, window_guesses = made.window_guesses,
          guesses = gatelodge.settle_budget(a.guesses, moment),
          public_guesses = gatelodge.settle_budget(a.public_guesses, moment)
        where a.issuer_id = of_issuer and a.address = of_address;
      update gatelodge.login_budgets b set
          takes = gatelodge.settle_budget(b.takes, moment),
          public_takes = gatelodge.settle_budget(b.public_takes, moment)
        where b.account_id = of_account and b.kind = 'guess' and b.subject = of_ip;
    end if;
    return next;
    return;
  end if;

  -- Of a code that outlives its window there are no more guesses than of any other.
  if made.code_used_at is null and made.code_expires_at > moment and made.code_expires_at <= latest_end
    and made.code_guesses < code_limit
  then
    code_id := made.code_id;
    mac := made.mac;
    mac_generation := made.mac_generation;
    made.code_guesses := made.code_guesses + 1;
  end if;
  made.window_guesses := made.window_guesses + 1;
  made.guesses := gatelodge.take_from_budget(made.guesses, day_limit, moment);
  of_the_ip := gatelodge.take_from_budget(of_the_ip, ip_limit, moment);
  if device is null then
    made.public_guesses := gatelodge.take_from_budget(made.public_guesses, public_day_limit, moment);
    public_of_the_ip := gatelodge.take_from_budget(public_of_the_ip, public_ip_limit, moment);
  end if;
  update gatelodge.otp_addresses a set
      code_guesses = made.code_guesses, window_ends_at = made.window_ends_at, window_guesses = made.window_guesses,
      guesses = made.guesses, public_guesses = made.public_guesses, kept_until = greatest(a.kept_until, until_day)
    where a.issuer_id = of_issuer and a.address = of_address;
  update gatelodge.login_budgets b
    set takes = of_the_ip, public_takes = public_of_the_ip, kept_until = greatest(b.kept_until, until_day)
    where b.account_id = of_account and b.kind = 'guess' and b.subject = of_ip;

  attempts_left := least(
    code_limit - made.window_guesses,
    gatelodge.room_in_budget(made.guesses, hour_limit, hour, moment),
    gatelodge.room_in_budget(made.guesses, day_limit, day, moment),
    case when device is not null then code_limit else least(
      gatelodge.room_in_budget(made.public_guesses, public_hour_limit, hour, moment),
      gatelodge.room_in_budget(made.public_guesses, public_day_limit, day, moment)) end,
    -- Hundreds are counted only where it matters.
    case when gatelodge.wait_for_budget(of_the_ip, ip_limit - code_limit + 1, hour, moment) = interval '0'
      then code_limit else gatelodge.room_in_budget(of_the_ip, ip_limit, hour, moment) end,
    case when device is not null
      or gatelodge.wait_for_budget(public_of_the_ip, public_ip_limit - code_limit + 1, hour, moment) = interval '0'
      then code_limit else gatelodge.room_in_budget(public_of_the_ip, public_ip_limit, hour, moment) end);
  return next;
end $$;

-- ── Failed sign-ins as events ───────────────────────────────────────────────────────────────────────────────────

-- One event an issuer, key and minute, which counts while the minute lasts, so that a flood of guesses is no flood of
-- rows. Whatever else it tells is of the first of them. As the rest of the trail it outlives its issuer.
create table otp_failed_events (
  id              text collate "C" not null,
  account_id      text collate "C" not null references accounts (id) on delete cascade,
  issuer_id       text collate "C" not null,
  organization_id text collate "C",
  environment     text collate "C" not null check (environment in ('live', 'sandbox')),
  key_id          text collate "C" not null,
  actor           jsonb not null,
  request_id      text,
  minute          timestamptz not null,
  created_at      timestamptz not null,
  last_at         timestamptz not null,
  count           bigint not null,
  primary key (account_id, id),
  unique (account_id, issuer_id, key_id, minute)
) with (fillfactor = 80);
create index otp_failed_events_by_issuer on otp_failed_events (account_id, issuer_id, id desc);
create index otp_failed_events_by_organization on otp_failed_events (account_id, organization_id, id desc)
  where organization_id is not null;
create index otp_failed_events_by_key on otp_failed_events (account_id, key_id, id desc);
create index otp_failed_events_by_minute on otp_failed_events (minute);

alter table otp_failed_events enable row level security;
create policy own_account on otp_failed_events to gatelodge_app using (account_id = current_account())
  with check (account_id = current_account());
create policy sweep on otp_failed_events for all to gatelodge_lookup using (true) with check (true);
grant select, insert, update (last_at, count), delete on otp_failed_events to gatelodge_app;
grant select, delete on otp_failed_events to gatelodge_lookup;

-- Both kinds of events that count are kept for as long.
create or replace function sweep_metered_events(before timestamptz, most integer) returns bigint
  language sql volatile security definer set search_path = pg_catalog, pg_temp
begin atomic
  with gone as (
    delete from gatelodge.metered_events e
    where e.ctid = any (array(
      select o.ctid from gatelodge.metered_events o where o.minute < before order by o.minute limit most))
      and e.minute < before
    returning 1
  ), failures_gone as (
    delete from gatelodge.otp_failed_events e
    where e.ctid = any (array(
      select o.ctid from gatelodge.otp_failed_events o where o.minute < before order by o.minute limit most))
      and e.minute < before
    returning 1
  )
  select greatest((select count(*) from gone), (select count(*) from failures_gone));
end;

-- ── Mails in turn ───────────────────────────────────────────────────────────────────────────────────────────────

create index mails_in_turn on mails (account_id, due_at, id) where due_at is not null;

-- As claim_mails, however many wait: goes from account to account, those after `after_account` first, and takes of each
-- its oldest, one before a second of any. An account gets no more than `most_each`, with those of it that are under way
-- already (`under_way`, one entry each): what one of them waits for keeps no other waiting. Mails of what is suspended
-- wait, until they have expired; those of what is being deleted are left to its deletion.
--
-- `last_account` is where to go on next time, at once unless `is_round`: not all accounts have been looked at. It is told
-- as well where nothing was claimed, in a row without an id.
create function claim_mails_v2(
  moment timestamptz, lease_end timestamptz, most integer, most_each integer, under_way text[], after_account text)
  returns table (
    id text, account_id text, issuer_id text, environment text, subject_type text, subject_id text, sealed bytea,
    secret_generation integer, is_withheld boolean, attempts integer, not_after timestamptz, created_at timestamptz,
    last_account text, is_round boolean)
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
  -- By mails_in_turn, whatever is known of the tables: any other way goes through all that wait.
  set plan_cache_mode = force_generic_plan
  set enable_sort = off
  set enable_incremental_sort = off
as $$
#variable_conflict use_column
declare
  most_looks constant integer := 1000;
  most_mails constant integer := 500;
  here text collate "C" := after_account;
  next_account text collate "C";
  next_due timestamptz;
  looks integer := 0;
  has_wrapped boolean := false;
  is_over boolean := false;
  has_stepped_back boolean := false;
  room integer;
  account_status text;
  inactive text[];
  deleting text[];
  found_ids text[];
  candidates text[] := '{}';
  turns integer[] := '{}';
  accounts_found integer := 0;
begin
  while accounts_found < most and looks < most_looks loop
    select m.account_id, m.due_at into next_account, next_due from gatelodge.mails m
      where m.due_at is not null and m.account_id > here order by m.account_id, m.due_at limit 1;
    if next_account is null then
      is_over := has_wrapped;
      exit when is_over;
      has_wrapped := true;
      here := '';
      continue;
    end if;
    is_over := has_wrapped and next_account > after_account;
    exit when is_over;
    here := next_account;
    looks := looks + 1;
    continue when next_due > moment;
    room := least(most, most_each - cardinality(array_positions(under_way, here::text)));
    continue when room <= 0;
    account_status := (select a.status from gatelodge.accounts a where a.id = here);
    continue when account_status = 'deleting';
    select coalesce(array_agg(i.id), '{}'), coalesce(array_agg(i.id) filter (where i.deleting), '{}')
      into inactive, deleting
      from gatelodge.issuers i where i.account_id = here and (i.status <> 'active' or i.deleting);
    found_ids := array(
      select o.id from (
        select m.id, m.issuer_id, m.not_after, m.due_at from gatelodge.mails m
        where m.account_id = here and m.due_at <= moment order by m.due_at, m.id limit most_mails) o
      where o.issuer_id <> all (deleting)
        and (account_status = 'active' and o.issuer_id <> all (inactive) or o.not_after <= moment)
      order by o.due_at, o.id limit room);
    if cardinality(found_ids) = 0 then
      -- What waits here is suspended or goes. Should there be so much of it that it hides the rest, it steps back.
      with hiding as (
        select m.id, row_number() over () as place from gatelodge.mails m
        where m.account_id = here and m.due_at <= moment order by m.due_at, m.id limit most_mails
      )
      update gatelodge.mails m set due_at = least(moment + interval '5 minutes', m.not_after)
        from hiding h where m.id = h.id and m.due_at <= moment
          and exists (select from hiding where place = most_mails);
      has_stepped_back := has_stepped_back or found;
      continue;
    end if;
    accounts_found := accounts_found + 1;
    candidates := candidates || found_ids;
    turns := turns || array(
      select cardinality(array_positions(under_way, here::text)) + n from generate_series(1, cardinality(found_ids)) as n);
  end loop;

  return query
  with claimed as (
    select m.id from unnest(candidates, turns) as c (id, turn)
    join gatelodge.mails m on m.id = c.id
    where m.due_at <= moment
    order by c.turn, m.due_at, m.id limit most for update of m skip locked
  )
  update gatelodge.mails m set due_at = lease_end, attempts = m.attempts + 1
  from claimed c where m.id = c.id
  returning m.id, m.account_id, m.issuer_id, m.environment, m.subject_type, m.subject_id, m.sealed, m.secret_generation,
    m.is_withheld, m.attempts, m.not_after, m.created_at, here::text, is_over and not has_stepped_back;
  if not found then
    last_account := here;
    is_round := is_over and not has_stepped_back;
    return next;
  end if;
end $$;

-- ── Whose they are ──────────────────────────────────────────────────────────────────────────────────────────────

revoke all on function is_budget_ahead(timestamptz[], timestamptz), settle_budget(timestamptz[], timestamptz) from public;
grant execute on function is_budget_ahead(timestamptz[], timestamptz), settle_budget(timestamptz[], timestamptz)
  to gatelodge_lookup;

grant create on schema gatelodge to gatelodge_lookup;
do $$
declare
  lookup regprocedure;
begin
  for lookup in
    select p.oid from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where n.nspname = 'gatelodge'
      and p.proname in ('take_login_budgets_v2', 'settle_login_budgets', 'take_otp_guess_v2', 'claim_mails_v2')
  loop
    execute format('alter function %s owner to gatelodge_lookup', lookup);
    execute format('revoke all on function %s from public', lookup);
    execute format('grant execute on function %s to gatelodge_app', lookup);
  end loop;
end $$;
revoke create on schema gatelodge from gatelodge_lookup;
