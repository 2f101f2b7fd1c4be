-- From the ledger's files into the tables of metering, what a start reads back from there, and what keeps them small.

-- ── Positions ───────────────────────────────────────────────────────────────────────────────────────────────────

-- Rows of ledger_segments are kept for good: they are what keeps the files of a data directory that was copied, or that
-- turns up years later, from being counted twice.
alter table ledger_segments
  -- Bytes before `position` that could not be read any more, and with them decisions that were acknowledged.
  add column lost_bytes bigint not null default 0;

-- A row that is updated by every fold finds room for its next version on its page, and no index has to know.
alter table usage_buckets set (fillfactor = 60);
alter table limit_windows set (fillfactor = 50);
alter table metered_events set (fillfactor = 60);

-- ── The fold ────────────────────────────────────────────────────────────────────────────────────────────────────

-- Moves the position of a segment and adds what lies between to the tables of metering, all or nothing. Where the
-- segment is at another position than the caller believes, nothing is done and that position is the answer (-1: it has
-- no row): somebody else has folded it, or the database was restored.
--
-- What there is to add comes as columns, each a text of values divided by commas, which no value has in it: arrays cost
-- the node ten times as much. '-' stands for nothing. No two rows of a table have the same key.
--
-- Rows are written in the order of their keys, so that two nodes never wait for each other in a circle. What belongs to
-- an account that is gone or going is left out.
create function fold_ledger(
  wanted_segment text, of_data_directory text, made_at timestamptz,
  -- Without a row yet, the segment is where its records begin.
  is_new boolean, expected bigint, reached bigint, finished boolean, lost bigint, moment timestamptz,
  -- usage_buckets, all of one hour since 1970.
  u_hour bigint, u_account text, u_level text, u_subject text, u_environment text, u_issuer text,
  u_organization text, u_code text, u_management text, u_count text, u_cost text,
  -- key_uses; moments in Unix milliseconds, here and below.
  k_account text, k_key text, k_used text,
  -- metered_events
  e_id text, e_account text, e_key text, e_issuer text, e_environment text, e_code text, e_first text, e_last text,
  e_count text,
  -- limit_windows
  w_account text, w_kind text, w_subject text, w_environment text, w_name text, w_period text, w_start text,
  w_used text)
  returns bigint
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set work_mem = '16MB' as $$
begin
  if is_new then
    insert into gatelodge.ledger_segments
      (segment_id, data_directory_id, created_at, position, folded_at, is_finished, lost_bytes)
      values (wanted_segment, of_data_directory, made_at, reached, moment, finished, lost)
      on conflict (segment_id) do nothing;
  else
    update gatelodge.ledger_segments s
      set position = reached, folded_at = moment, is_finished = finished, lost_bytes = s.lost_bytes + lost
      where s.segment_id = wanted_segment and s.position = expected;
  end if;
  if not found then
    return coalesce((select s.position from gatelodge.ledger_segments s where s.segment_id = wanted_segment), -1);
  end if;

  -- The steps of an account's deletion take it alone: what is added here is there for the next of them to see.
  perform pg_advisory_xact_lock_shared(hashtextextended('metering', 0));

  if u_account <> '' then
    insert into gatelodge.usage_buckets as b
      (account_id, level, subject_id, grain, start_at, environment, issuer_id, organization_id, code, is_management,
       count, cost)
      select u.account, u.level, u.subject, g.grain, g.start_at, u.environment, coalesce(u.issuer, ''),
        coalesce(u.organization, ''), u.code, u.management, u.count, u.cost
      from unnest(
        string_to_array(u_account, ',') collate "C", string_to_array(u_level, ',') collate "C",
        string_to_array(u_subject, ',') collate "C", string_to_array(u_environment, ',') collate "C",
        string_to_array(u_issuer, ',', '-') collate "C", string_to_array(u_organization, ',', '-') collate "C",
        string_to_array(u_code, ',') collate "C", string_to_array(u_management, ',')::boolean[],
        string_to_array(u_count, ',')::bigint[], string_to_array(u_cost, ',')::bigint[])
        as u (account, level, subject, environment, issuer, organization, code, management, count, cost)
      join gatelodge.accounts a on a.id = u.account and a.status <> 'deleting'
      cross join (values
        ('day' collate "C", to_timestamp(u_hour / 24 * 86400)), ('hour', to_timestamp(u_hour * 3600)))
        as g (grain, start_at)
      order by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
    on conflict (account_id, level, subject_id, grain, start_at, environment, issuer_id, organization_id, code,
      is_management)
      -- Whoever reads it can't tell greater numbers; nothing costs as much in earnest.
      do update set count = b.count + excluded.count, cost = least(b.cost + excluded.cost, 9007199254740991);
  end if;

  if k_account <> '' then
    insert into gatelodge.key_uses as kept (key_id, account_id, last_used_at)
      select u.key, u.account, to_timestamp(u.used / 1000::float8)
      from unnest(
        string_to_array(k_account, ',') collate "C", string_to_array(k_key, ',') collate "C",
        string_to_array(k_used, ',')::bigint[]) as u (account, key, used)
      join gatelodge.accounts a on a.id = u.account and a.status <> 'deleting'
      join gatelodge.api_keys k on k.id = u.key
      left join gatelodge.key_uses known on known.key_id = u.key
      where known.key_id is null or known.last_used_at < to_timestamp(u.used / 1000::float8) - interval '30 seconds'
      order by 1
    on conflict (key_id) do update set last_used_at = greatest(kept.last_used_at, excluded.last_used_at);
  end if;

  if e_account <> '' then
    insert into gatelodge.metered_events as e
      (id, account_id, type, created_at, last_at, issuer_id, organization_id, environment, key_id, code, minute, count)
      select u.id, u.account, case u.code when 'VALID' then 'api-key.verified' else 'api-key.rejected' end,
        to_timestamp(u.first / 1000::float8), to_timestamp(u.last / 1000::float8), u.issuer, k.organization_id,
        u.environment, u.key, u.code, to_timestamp(u.first / 60000 * 60), u.count
      from unnest(
        string_to_array(e_id, ',') collate "C", string_to_array(e_account, ',') collate "C",
        string_to_array(e_key, ',') collate "C", string_to_array(e_issuer, ',', '-') collate "C",
        string_to_array(e_environment, ',') collate "C", string_to_array(e_code, ',') collate "C",
        string_to_array(e_first, ',')::bigint[], string_to_array(e_last, ',')::bigint[],
        string_to_array(e_count, ',')::bigint[])
        as u (id, account, key, issuer, environment, code, first, last, count)
      join gatelodge.accounts a on a.id = u.account and a.status <> 'deleting'
      left join gatelodge.api_keys k on k.id = u.key
      order by u.account, u.key, u.code, u.first
    on conflict (account_id, key_id, code, minute)
      do update set count = e.count + excluded.count, last_at = greatest(e.last_at, excluded.last_at);
  end if;

  if w_account <> '' then
    insert into gatelodge.limit_windows as w
      (account_id, kind, subject_id, environment, name, period, window_start, used)
      select u.account, u.kind, u.subject, u.environment, u.name, u.period, u.start, u.used
      from unnest(
        string_to_array(w_account, ',') collate "C", string_to_array(w_kind, ',') collate "C",
        string_to_array(w_subject, ',') collate "C", string_to_array(w_environment, ',') collate "C",
        string_to_array(w_name, ',') collate "C", string_to_array(w_period, ',') collate "C",
        string_to_array(w_start, ',')::bigint[], string_to_array(w_used, ',')::bigint[])
        as u (account, kind, subject, environment, name, period, start, used)
      join gatelodge.accounts a on a.id = u.account and a.status <> 'deleting'
      order by 1, 2, 3, 4, 5, 6
    on conflict (account_id, kind, subject_id, environment, name, period)
      -- The newest window wins; what came of the same one is added.
      do update set window_start = excluded.window_start,
        used = least(9007199254740991,
          excluded.used + case w.window_start when excluded.window_start then w.used else 0 end)
      where w.window_start <= excluded.window_start;
  end if;

  return reached;
end $$;

-- Windows of limits that are not over (those of months roughly), in the order of their keys, so many after one.
create function lookup_limit_windows(
  now_seconds bigint, after_account text, after_kind text, after_subject text, after_environment text,
  after_name text, after_period text, most integer)
  returns table (
    account_id text, kind text, subject_id text, environment text, name text, period text, window_start bigint,
    used bigint)
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select w.account_id, w.kind, w.subject_id, w.environment, w.name, w.period, w.window_start, w.used
  from gatelodge.limit_windows w
  where (w.account_id, w.kind, w.subject_id, w.environment, w.name, w.period)
      > (after_account, after_kind, after_subject, after_environment, after_name, after_period)
    and (w.period = 'quota' or w.window_start > now_seconds - case w.period
      when 'second' then 1 when 'minute' then 60 when 'hour' then 3600
      when 'day' then 86400 when 'quota-day' then 86400 else 31 * 86400 end)
  order by w.account_id, w.kind, w.subject_id, w.environment, w.name, w.period
  limit most;
end;

-- ── What keeps the tables small ─────────────────────────────────────────────────────────────────────────────────

-- Whether anybody is left of a line of rotations.
create index api_keys_by_lineage on api_keys (lineage_id) where lineage_id is not null;

-- Deletes windows that ended more than a day ago, and credits of keys that are no more, in a stretch of the table.
-- Answers how many, and how long the table is.
create function sweep_limit_windows(now_seconds bigint, first_block bigint, blocks bigint)
  returns table (deleted bigint, all_blocks bigint)
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  delete from gatelodge.limit_windows w
    where w.ctid >= format('(%s,0)', first_block)::tid and w.ctid < format('(%s,0)', first_block + blocks)::tid
      and case
        when w.period not like 'quota%' then w.window_start < now_seconds - 86400 - case w.period
          when 'second' then 1 when 'minute' then 60 when 'hour' then 3600 when 'day' then 86400
          else 31 * 86400 end
        else w.kind = 'key' and not exists (
          select from gatelodge.api_keys k where k.id = w.subject_id or k.lineage_id = w.subject_id)
      end;
  get diagnostics deleted = row_count;
  all_blocks := pg_relation_size('gatelodge.limit_windows') / current_setting('block_size')::bigint;
  return next;
end $$;

create function sweep_metered_events(before timestamptz, most integer) returns bigint
  language sql volatile security definer set search_path = pg_catalog, pg_temp
begin atomic
  with gone as (
    delete from gatelodge.metered_events e
    where e.ctid = any (array(
      select o.ctid from gatelodge.metered_events o where o.minute < before order by o.minute limit most))
      and e.minute < before
    returning 1
  )
  select count(*) from gone;
end;

-- Deletes hour buckets of the accounts that come after one, as far as `most` goes. Answers how many, and up to which
-- account; null when none is left.
create function sweep_hour_buckets(before timestamptz, after_account text, accounts integer, most integer)
  returns table (deleted bigint, last_account text)
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  looked_at text[] := array(
    select a.id from gatelodge.accounts a where a.id > after_account order by a.id limit accounts);
begin
  delete from gatelodge.usage_buckets b
    where b.ctid = any (array(
      select o.ctid from unnest(looked_at) as a (id)
      cross join unnest(array['account', 'issuer', 'organization', 'key']) as l (level)
      cross join lateral (
        select u.ctid from gatelodge.usage_buckets u
        where u.account_id = a.id collate "C" and u.level = l.level collate "C" and u.grain = 'hour'
          and u.start_at < before limit most) o
      limit most))
    and b.grain = 'hour' and b.start_at < before;
  get diagnostics deleted = row_count;
  last_account := looked_at[cardinality(looked_at)];
  return next;
end $$;

-- When a key last passed is told of keys that there are. One after the other, in the order in which a fold writes them: in
-- another they would wait for each other in a circle.
create function forget_key_uses() returns trigger
  language plpgsql as $$
declare
  gone_id text;
begin
  for gone_id in select g.id from gone g order by g.id loop
    delete from gatelodge.key_uses u where u.key_id = gone_id;
  end loop;
  return null;
end $$;
create trigger forget_key_uses after delete on api_keys
  referencing old table as gone for each statement execute function forget_key_uses();
revoke all on function forget_key_uses() from public;

-- ── Owners and grants ───────────────────────────────────────────────────────────────────────────────────────────

grant create on schema gatelodge to gatelodge_lookup;
do $$
declare
  lookup regprocedure;
begin
  for lookup in
    select p.oid from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where n.nspname = 'gatelodge' and p.proname in ('fold_ledger', 'lookup_limit_windows', 'sweep_limit_windows',
      'sweep_metered_events', 'sweep_hour_buckets')
  loop
    execute format('alter function %s owner to gatelodge_lookup', lookup);
    execute format('revoke all on function %s from public', lookup);
    execute format('grant execute on function %s to gatelodge_app', lookup);
  end loop;
end $$;
revoke create on schema gatelodge from gatelodge_lookup;
