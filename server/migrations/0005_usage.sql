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
