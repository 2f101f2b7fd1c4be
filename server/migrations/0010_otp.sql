-- Sign-in by e-mailed code: codes, what is guessed and sent of them, and the devices that have signed in.
--
-- Budgets slide: of each the moments of the last takes are kept, as many as the largest of its limits, oldest first. One
-- more is allowed where the n-th newest is as old as the limit's span, so no span has more than n. Moments come from the
-- node that asks; should its clock be behind another's, the later one counts.

-- ── Tables ──────────────────────────────────────────────────────────────────────────────────────────────────────

-- One row an issuer and address: its newest code, and what may still be sent and guessed. Addresses stand here as keyed
-- digests, for most of them may be nobody's. A new code replaces the old one and resets none of the budgets.
create table otp_addresses (
  account_id      text collate "C" not null,
  issuer_id       text collate "C" not null,
  address         bytea not null,
  code_id         text collate "C",
  -- A keyed digest; of a code that was never mailed random bytes, which no code has.
  mac             bytea,
  mac_generation  integer,
  code_expires_at timestamptz,
  code_used_at    timestamptz,
  code_guesses    integer not null default 0,
  -- What whoever guesses is told of: the guesses since a code was last asked for, or where there is none since the first
  -- of them. Apart from those of the code: a request that is answered as any other and mails nothing leaves the code of
  -- the last one as it is.
  window_ends_at  timestamptz,
  window_guesses  integer not null default 0,
  sends           timestamptz[] not null default '{}',
  -- Those among them that no device has asked for that has signed in.
  public_sends    timestamptz[] not null default '{}',
  guesses         timestamptz[] not null default '{}',
  -- Those among them that did not come from a device that has signed in.
  public_guesses  timestamptz[] not null default '{}',
  -- The row says nothing any more from this day on (UTC). A day, so that most updates change nothing that is indexed.
  kept_until      date not null,
  primary key (issuer_id, address),
  foreign key (account_id, issuer_id) references issuers (account_id, id) on delete cascade
) with (fillfactor = 70);
create index otp_addresses_by_account on otp_addresses (account_id);
create index otp_addresses_kept on otp_addresses (kept_until);

-- Mails that a key or an IP address has caused, within one account: whoever shares an address with another account's
-- users takes nothing from theirs.
create table login_budgets (
  account_id text collate "C" not null references accounts (id) on delete cascade,
  kind       text collate "C" not null check (kind in ('key', 'ip')),
  -- A keyed digest of the key's line of rotations, or of the network.
  subject    bytea not null,
  takes      timestamptz[] not null default '{}',
  kept_until date not null,
  primary key (account_id, kind, subject)
) with (fillfactor = 70);
create index login_budgets_kept on login_budgets (kept_until);

-- Mails that went to an address, whoever's issuer sent them. It belongs to no account, so only functions get at it.
create table otp_mail_caps (
  address    bytea primary key,
  takes      timestamptz[] not null default '{}',
  kept_until date not null
) with (fillfactor = 70);
create index otp_mail_caps_kept on otp_mail_caps (kept_until);

-- Devices that have signed in, by a keyed digest of what they were given then.
create table otp_devices (
  digest     bytea primary key,
  account_id text collate "C" not null,
  issuer_id  text collate "C" not null,
  user_id    text collate "C" not null,
  -- The address that it signed in with, as in otp_addresses.
  address    bytea not null,
  created_at timestamptz not null,
  expires_at timestamptz not null,
  foreign key (account_id, issuer_id, user_id) references users (account_id, issuer_id, id) on delete cascade
);
create index otp_devices_by_account on otp_devices (account_id);
create index otp_devices_by_address on otp_devices (issuer_id, address, expires_at desc);
create index otp_devices_by_user on otp_devices (user_id);
create index otp_devices_expiry on otp_devices (expires_at);

-- A device is known at the address that it has signed in with: whoever has the address next has nothing of it.
create function forget_otp_devices() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  delete from gatelodge.otp_devices d where d.account_id = new.account_id and d.user_id = new.id;
  return null;
end $$;
create trigger forget_otp_devices after update of username_key, username_type on users for each row
  when (old.username_key is distinct from new.username_key or old.username_type is distinct from new.username_type)
  execute function forget_otp_devices();

-- Wrong guesses at an issuer's codes, by five minutes; in a few parts, so that those who guess at the same time do not
-- wait for each other.
create table otp_failures (
  account_id text collate "C" not null,
  issuer_id  text collate "C" not null,
  slot       timestamptz not null,
  part       smallint not null,
  count      bigint not null,
  primary key (issuer_id, slot, part),
  foreign key (account_id, issuer_id) references issuers (account_id, id) on delete cascade
) with (fillfactor = 70);
create index otp_failures_by_account on otp_failures (account_id);
create index otp_failures_by_slot on otp_failures (slot);

do $$
declare
  tenant_table text;
begin
  foreach tenant_table in array array['otp_addresses', 'login_budgets', 'otp_devices', 'otp_failures']
  loop
    execute format('alter table %I enable row level security', tenant_table);
    execute format('create policy own_account on %I to gatelodge_app using (account_id = current_account())
      with check (account_id = current_account())', tenant_table);
    execute format('create policy login on %I for all to gatelodge_lookup using (true) with check (true)', tenant_table);
  end loop;
end $$;
grant select, insert, update, delete on otp_addresses, login_budgets, otp_mail_caps to gatelodge_lookup;
grant select, delete on otp_devices, otp_failures to gatelodge_lookup;
grant select, insert, update, delete on otp_addresses, otp_devices, otp_failures to gatelodge_app;
-- Written by functions alone; what belongs to an account that is being deleted goes with it.
grant select, delete on login_budgets to gatelodge_app;

-- ── Sliding budgets ─────────────────────────────────────────────────────────────────────────────────────────────

-- How long until one more is allowed; zero where it is now.
create function wait_for_budget(takes timestamptz[], most integer, span interval, moment timestamptz) returns interval
  language sql immutable parallel safe
  return case when cardinality(takes) < most then interval '0'
    else greatest(takes[cardinality(takes) - most + 1] + span - moment, interval '0') end;

-- How many more are allowed.
create function room_in_budget(takes timestamptz[], most integer, span interval, moment timestamptz) returns integer
  language sql immutable parallel safe
  return greatest(most - (select count(*) from unnest(takes) as t (at) where t.at > moment - span)::integer, 0);

-- The takes with one more, the newest `kept` of them.
create function take_from_budget(takes timestamptz[], kept integer, moment timestamptz) returns timestamptz[]
  language sql immutable parallel safe
  return takes[greatest(cardinality(takes) - kept + 2, 1):] || greatest(moment, takes[cardinality(takes)]);

-- ── What runs outside of the account's own transactions, or across accounts ─────────────────────────────────────

-- Takes from every budget that a code to be mailed takes from, or from none. Rows are locked in one order: address, key,
-- IP, and then the cap of `take_mail_cap`. To be called in the transaction that queues the mail: without the mail nothing
-- is taken. Answers 0 where it is taken, else for how many seconds it can't be.
create function take_login_budgets(
  of_account text, of_issuer text, of_address bytea, of_key bytea, of_ip bytea, devices bytea[], moment timestamptz,
  spacing interval, address_limit integer, public_limit integer, key_limit integer, ip_limit integer)
  returns integer language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  hour constant interval := '1 hour';
  until_day constant date := (moment at time zone 'UTC')::date + 2;
  is_known_device constant boolean := exists (
    select from gatelodge.otp_devices d
    where d.digest = any (devices) and d.issuer_id = of_issuer and d.address = of_address and d.expires_at > moment);
  sent timestamptz[];
  public_sent timestamptz[];
  of_the_key timestamptz[];
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
  select b.takes into of_the_key from gatelodge.login_budgets b
    where b.account_id = of_account and b.kind = 'key' and b.subject = of_key for update;
  if not found then
    insert into gatelodge.login_budgets as b (account_id, kind, subject, kept_until)
      values (of_account, 'key', of_key, until_day)
      on conflict (account_id, kind, subject) do update set kept_until = greatest(b.kept_until, excluded.kept_until)
      returning b.takes into of_the_key;
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
    case when is_known_device then interval '0'
      else gatelodge.wait_for_budget(public_sent, public_limit, hour, moment) end,
    gatelodge.wait_for_budget(of_the_key, key_limit, hour, moment),
    gatelodge.wait_for_budget(of_the_ip, ip_limit, hour, moment));
  if wait > interval '0' then
    return ceil(extract(epoch from wait))::integer;
  end if;

  update gatelodge.otp_addresses a set
      sends = gatelodge.take_from_budget(sent, address_limit, moment),
      public_sends = case when is_known_device then public_sent
        else gatelodge.take_from_budget(public_sent, public_limit, moment) end,
      kept_until = greatest(a.kept_until, until_day)
    where a.issuer_id = of_issuer and a.address = of_address;
  update gatelodge.login_budgets b
    set takes = gatelodge.take_from_budget(of_the_key, key_limit, moment), kept_until = greatest(b.kept_until, until_day)
    where b.account_id = of_account and b.kind = 'key' and b.subject = of_key;
  update gatelodge.login_budgets b
    set takes = gatelodge.take_from_budget(of_the_ip, ip_limit, moment), kept_until = greatest(b.kept_until, until_day)
    where b.account_id = of_account and b.kind = 'ip' and b.subject = of_ip;
  return 0;
end $$;

-- Takes from the cap of an address over all issuers. Answers whether it is capped: the address has had its mails of this
-- hour, whoever sent them, and has never signed in here. Then there is to be no mail, and nothing is taken. That is no
-- refusal, for it would tell who has signed in here.
--
-- `is_wanted`: the issuer itself has nothing against the mail. Where it has, nothing is taken: issuers that let nobody
-- sign up could use up an address's cap without a mail. The same is written for every address.
create function take_mail_cap(
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
      else to_all end
    where c.address = of_all;
  return is_capped;
end $$;

-- Counts a guess before anybody looks whether it is right, and answers what it is to be compared with. A statement of
-- its own, outside of every transaction: whatever fails afterwards, it has been made.
--
-- `wait_seconds`: 0 where it is counted, else how long until the next one can be. `code_id` is null where there is no code
-- that could be right, `device` where none of the devices has signed in with this address.
create function take_otp_guess(
  of_account text, of_issuer text, of_address bytea, devices bytea[], moment timestamptz, code_limit integer,
  usual_lifetime interval, hour_limit integer, day_limit integer, public_hour_limit integer, public_day_limit integer)
  returns table (
    wait_seconds integer, attempts_left integer, device bytea, code_id text, mac bytea, mac_generation integer)
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  hour constant interval := '1 hour';
  day constant interval := '24 hours';
  until_day constant date := (moment at time zone 'UTC')::date + 2;
  made gatelodge.otp_addresses;
begin
  -- Nobody is answered before a transaction has been committed that comes after this: it flushes this one as well.
  perform set_config('synchronous_commit', 'off', true);
  if cardinality(devices) > 0 then
    select d.digest into device from gatelodge.otp_devices d
      where d.digest = any (devices) and d.issuer_id = of_issuer and d.address = of_address and d.expires_at > moment
      limit 1;
  end if;
  select a.* into made from gatelodge.otp_addresses a
    where a.issuer_id = of_issuer and a.address = of_address for update;
  if not found then
    insert into gatelodge.otp_addresses as a (account_id, issuer_id, address, kept_until)
      values (of_account, of_issuer, of_address, until_day)
      on conflict (issuer_id, address) do update set kept_until = greatest(a.kept_until, excluded.kept_until)
      returning a.* into made;
  end if;
  if coalesce(made.window_ends_at <= moment, true) then
    made.window_ends_at := moment + usual_lifetime;
    made.window_guesses := 0;
  end if;

  wait_seconds := ceil(extract(epoch from greatest(
    case when made.window_guesses >= code_limit then made.window_ends_at - moment else interval '0' end,
    gatelodge.wait_for_budget(made.guesses, hour_limit, hour, moment),
    gatelodge.wait_for_budget(made.guesses, day_limit, day, moment),
    case when device is not null then interval '0' else greatest(
      gatelodge.wait_for_budget(made.public_guesses, public_hour_limit, hour, moment),
      gatelodge.wait_for_budget(made.public_guesses, public_day_limit, day, moment)) end)))::integer;
  if wait_seconds > 0 then
    attempts_left := 0;
    return next;
    return;
  end if;

  -- Of a code that outlives its window there are no more guesses than of any other.
  if made.code_used_at is null and made.code_expires_at > moment and made.code_guesses < code_limit then
    code_id := made.code_id;
    mac := made.mac;
    mac_generation := made.mac_generation;
    made.code_guesses := made.code_guesses + 1;
  end if;
  made.window_guesses := made.window_guesses + 1;
  made.guesses := gatelodge.take_from_budget(made.guesses, day_limit, moment);
  if device is null then
    made.public_guesses := gatelodge.take_from_budget(made.public_guesses, public_day_limit, moment);
  end if;
  update gatelodge.otp_addresses a set
      code_guesses = made.code_guesses, window_ends_at = made.window_ends_at, window_guesses = made.window_guesses,
      guesses = made.guesses, public_guesses = made.public_guesses, kept_until = greatest(a.kept_until, until_day)
    where a.issuer_id = of_issuer and a.address = of_address;

  attempts_left := least(
    code_limit - made.window_guesses,
    gatelodge.room_in_budget(made.guesses, hour_limit, hour, moment),
    gatelodge.room_in_budget(made.guesses, day_limit, day, moment),
    case when device is not null then code_limit else least(
      gatelodge.room_in_budget(made.public_guesses, public_hour_limit, hour, moment),
      gatelodge.room_in_budget(made.public_guesses, public_day_limit, day, moment)) end);
  return next;
end $$;

-- Deletes what says nothing any more, at most so many rows of each table, and no budget that
-- somebody takes from: whoever does has locked others before it. Answers whether there may be more.
create function sweep_otp(moment timestamptz, most integer) returns boolean
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  today constant date := (moment at time zone 'UTC')::date;
  deleted integer;
  has_more boolean := false;
begin
  delete from gatelodge.otp_addresses a where a.ctid = any (array(
      select o.ctid from gatelodge.otp_addresses o where o.kept_until < today limit most for update skip locked)) and a.kept_until < today;
  get diagnostics deleted = row_count;
  has_more := has_more or deleted >= most;
  delete from gatelodge.login_budgets b where b.ctid = any (array(
      select o.ctid from gatelodge.login_budgets o where o.kept_until < today limit most for update skip locked)) and b.kept_until < today;
  get diagnostics deleted = row_count;
  has_more := has_more or deleted >= most;
  delete from gatelodge.otp_mail_caps c where c.ctid = any (array(
      select o.ctid from gatelodge.otp_mail_caps o where o.kept_until < today limit most for update skip locked)) and c.kept_until < today;
  get diagnostics deleted = row_count;
  has_more := has_more or deleted >= most;
  delete from gatelodge.otp_devices d where d.ctid = any (array(
      select o.ctid from gatelodge.otp_devices o where o.expires_at <= moment limit most)) and d.expires_at <= moment;
  get diagnostics deleted = row_count;
  has_more := has_more or deleted >= most;
  delete from gatelodge.otp_failures f where f.ctid = any (array(
      select o.ctid from gatelodge.otp_failures o where o.slot < moment - interval '2 hours' limit most))
    and f.slot < moment - interval '2 hours';
  get diagnostics deleted = row_count;
  return has_more or deleted >= most;
end $$;

revoke all on function wait_for_budget(timestamptz[], integer, interval, timestamptz),
  room_in_budget(timestamptz[], integer, interval, timestamptz),
  take_from_budget(timestamptz[], integer, timestamptz) from public;
grant execute on function wait_for_budget(timestamptz[], integer, interval, timestamptz),
  room_in_budget(timestamptz[], integer, interval, timestamptz),
  take_from_budget(timestamptz[], integer, timestamptz) to gatelodge_lookup;

grant create on schema gatelodge to gatelodge_lookup;
do $$
declare
  lookup regprocedure;
begin
  for lookup in
    select p.oid from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where n.nspname = 'gatelodge' and p.proname in ('take_login_budgets', 'take_mail_cap', 'take_otp_guess', 'sweep_otp')
  loop
    execute format('alter function %s owner to gatelodge_lookup', lookup);
    execute format('revoke all on function %s from public', lookup);
    execute format('grant execute on function %s to gatelodge_app', lookup);
  end loop;
end $$;
revoke create on schema gatelodge from gatelodge_lookup;
