-- Looking through events and usage.

-- ── Events ──────────────────────────────────────────────────────────────────────────────────────────────────────

create index events_by_organization on events (account_id, organization_id, id desc) where organization_id is not null;
create index events_by_actor on events (account_id, (actor->>'id'), id desc);
create index metered_events_by_organization on metered_events (account_id, organization_id, id desc)
  where organization_id is not null;
-- Among all that passes there are few of them.
create index metered_events_rejected on metered_events (account_id, id desc) where type = 'api-key.rejected';

-- ── Rotation ────────────────────────────────────────────────────────────────────────────────────────────────────

alter table api_keys
  -- How many requests with it the hour in which it was rotated had counted before that.
  add column uses_before_rotation bigint;

create index api_keys_until_quiet on api_keys (retires_at) where retire = 'when-quiet' and status = 'active';
grant select (retire) on api_keys to gatelodge_lookup;

-- Accounts with keys that were rotated to retire when they are quiet, and that nobody has used since then.
create function lookup_accounts_with_quiet_keys(moment timestamptz, quiet_since timestamptz, most integer)
  returns setof text
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select k.account_id from gatelodge.api_keys k
  join gatelodge.accounts a on a.id = k.account_id
  left join gatelodge.key_uses u on u.key_id = k.id
  where k.retire = 'when-quiet' and k.status = 'active' and k.retires_at > moment
    and greatest(k.rotated_at, u.last_used_at) <= quiet_since and a.status <> 'deleting'
  group by k.account_id order by min(k.rotated_at) limit most;
end;

-- ── Usage ───────────────────────────────────────────────────────────────────────────────────────────────────────

alter table usage_buckets
  -- How many of `reported` came with a latency.
  add column timed bigint not null default 0;

-- Buckets are told in the order of time and then of their subjects, both descending: an index in that order lets a page
-- begin anywhere. Of what lies in one issuer or one organization as well.
create index usage_buckets_in_order on usage_buckets (account_id, level, grain, start_at, subject_id);
drop index usage_buckets_by_time;
create index usage_buckets_of_issuer on usage_buckets (account_id, level, grain, issuer_id, start_at, subject_id)
  where issuer_id <> '' and level in ('organization', 'key');
create index usage_buckets_of_organization on usage_buckets (account_id, level, grain, organization_id, start_at, subject_id)
  where organization_id <> '' and level = 'key';

-- Adds what an API has told of requests that were let through, to the hours and days in which they were, at every level
-- that they concern. Of the account that is set, which is all that the service can name; which of its keys the caller may
-- tell of is looked at before. Sums end at what a number of JavaScript holds exactly.
create function report_outcomes(
  keys text[], issuers text[], organizations text[], environments text[], hours timestamptz[], reported bigint[],
  errors bigint[], timed bigint[], latencies_ms bigint[]) returns void
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  most constant bigint := 9007199254740991;
begin
  -- As fold_ledger: an account's deletion takes it alone before its last look.
  perform pg_advisory_xact_lock_shared(hashtextextended('metering', 0));
  insert into gatelodge.usage_buckets as b
    (account_id, level, subject_id, grain, start_at, environment, issuer_id, organization_id, code, is_management,
     reported, errors, timed, latency_ms)
    select a.id, l.level, l.subject, g.grain, g.start_at, o.environment, l.issuer, l.organization, 'VALID', false,
      sum(o.reported), sum(o.errors), sum(o.timed), sum(o.latency_ms)
    from unnest(keys collate "C", issuers collate "C", organizations collate "C", environments collate "C", hours,
      reported, errors, timed, latencies_ms)
      as o (key, issuer, organization, environment, hour, reported, errors, timed, latency_ms)
    join gatelodge.accounts a on a.id = gatelodge.current_account() and a.status <> 'deleting'
    cross join lateral (values
      ('account' collate "C", a.id, '' collate "C", '' collate "C"),
      ('issuer', o.issuer, '', ''),
      ('organization', o.organization, coalesce(o.issuer, ''), ''),
      ('key', o.key, coalesce(o.issuer, ''), coalesce(o.organization, '')))
      as l (level, subject, issuer, organization)
    cross join lateral (values
      ('day' collate "C", date_trunc('day', o.hour, 'UTC')), ('hour', o.hour)) as g (grain, start_at)
    where l.subject is not null
    group by 1, 2, 3, 4, 5, 6, 7, 8
    -- In the order of their keys, as fold_ledger has it, so that nobody waits for another in a circle.
    order by 1, 2, 3, 4, 5, 6, 7, 8
  on conflict (account_id, level, subject_id, grain, start_at, environment, issuer_id, organization_id, code,
    is_management)
    do update set
      reported = least(b.reported + excluded.reported, most), errors = least(b.errors + excluded.errors, most),
      timed = least(b.timed + excluded.timed, most), latency_ms = least(b.latency_ms + excluded.latency_ms, most);
end $$;

-- What accounts other than the operator's own have used in a month, for the operator: totals, and nothing of what they are
-- made of. The newest first, from one account on.
create function lookup_statement_accounts(
  operator_account text, month_start timestamptz, month_end timestamptz, up_to text, most integer)
  returns table (id text, name text, plan text, included jsonb, live bigint, sandbox bigint)
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select a.id, a.name, a.plan,
    (select p.included from gatelodge.plans p where p.account_id = operator_account and p.name = a.plan),
    least(used.live, 9007199254740991)::bigint, least(used.sandbox, 9007199254740991)::bigint
  from gatelodge.accounts a
  cross join lateral (
    select coalesce(sum(u.cost) filter (where u.environment = 'live'), 0) as live,
      coalesce(sum(u.cost) filter (where u.environment = 'sandbox'), 0) as sandbox
    from gatelodge.usage_buckets u
    where u.account_id = a.id and u.level = 'account' and u.subject_id = a.id and u.grain = 'day'
      and u.start_at >= month_start and u.start_at < month_end and u.code = 'VALID' and not u.is_management
  ) as used
  where a.id <> operator_account and a.status <> 'deleting' and a.created_at < month_end
    and (up_to is null or a.id <= up_to)
    and exists (
      select from gatelodge.accounts o where o.id = operator_account and o.id = gatelodge.current_account()
        and o.is_operator and o.status = 'active')
  order by a.id desc limit most;
end;

grant create on schema gatelodge to gatelodge_lookup;
do $$
declare
  lookup regprocedure;
begin
  foreach lookup in array array[
    'lookup_statement_accounts(text, timestamptz, timestamptz, text, integer)',
    'lookup_accounts_with_quiet_keys(timestamptz, timestamptz, integer)',
    'report_outcomes(text[], text[], text[], text[], timestamptz[], bigint[], bigint[], bigint[], bigint[])'
    ]::regprocedure[]
  loop
    execute format('alter function %s owner to gatelodge_lookup', lookup);
    execute format('revoke all on function %s from public', lookup);
    execute format('grant execute on function %s to gatelodge_app', lookup);
  end loop;
end $$;
revoke create on schema gatelodge from gatelodge_lookup;
