-- The keys that issuers sign their tokens with.
--
-- Nodes of the build before this one may still run. They make issuers without a signing key; a node of this build makes
-- it when it is first needed.

create table signing_keys (
  -- The `kid` of tokens and of the published key.
  id                text collate "C" primary key,
  account_id        text collate "C" not null,
  issuer_id         text collate "C" not null,
  algorithm         text not null check (algorithm in ('ES256', 'EdDSA', 'RS256')),
  -- The private key as a JWK, under the installation secret `signing-key`, bound to issuer, id and algorithm. The public
  -- key is taken from it, so that whoever can write this table can't put one of their own in its place.
  sealed            bytea not null,
  secret_generation integer not null,
  -- It is published from its creation on, signs from here on, and stops where its successor begins. Until `expires_at` it
  -- stays published. Both ends are null for the newest key of an issuer.
  activates_at      timestamptz not null,
  retires_at        timestamptz,
  expires_at        timestamptz,
  version           bigint not null default 1,
  created_at        timestamptz not null default now(),
  check ((retires_at is null) = (expires_at is null)),
  foreign key (account_id, issuer_id) references issuers (account_id, id) on delete cascade
);
-- One newest key, however many callers rotate at once.
create unique index signing_keys_one_newest on signing_keys (issuer_id) where expires_at is null;
create index signing_keys_by_issuer on signing_keys (account_id, issuer_id, id desc);
create index signing_keys_rotation on signing_keys (activates_at) where expires_at is null;
create index signing_keys_expiry on signing_keys (expires_at) where expires_at is not null;
create index signing_keys_secret_generation on signing_keys (secret_generation);

alter table signing_keys enable row level security;
create policy own_account on signing_keys to gatelodge_app using (account_id = current_account())
  with check (account_id = current_account());
grant select, insert, update (retires_at, expires_at, version), delete on signing_keys to gatelodge_app;

-- A rotation gives the key before it an end. Neither the first key of an issuer nor the removal of one that has ended
-- changes anything that a node may hold.
create trigger notify_update after update on signing_keys
  for each row when (old.version <> new.version) execute function notify_change('issuer', 'issuer_id');

-- ── Generations of the secret ───────────────────────────────────────────────────────────────────────────────────

-- As require_live_secret_generations for API keys: a key that is being made while its generation is retired is either
-- counted there or refused here.
create function require_live_sealing_generation() returns trigger
  language plpgsql as $$
begin
  perform pg_advisory_xact_lock_shared(hashtextextended('installation_secret:signing-key', 0));
  if exists (
    select from made m where not exists (
      select from installation_secrets s where s.purpose = 'signing-key'
        and s.generation = m.secret_generation and s.retired_at is null)
  ) then
    raise exception 'a signing key was sealed under a retired generation of a secret'
      using errcode = 'object_not_in_prerequisite_state';
  end if;
  return null;
end $$;
create trigger live_sealing_generation after insert on signing_keys
  referencing new table as made
  for each statement execute function require_live_sealing_generation();
revoke all on function require_live_sealing_generation() from public;

-- ── Look-ups before the account is known ────────────────────────────────────────────────────────────────────────

grant select (id, account_id, issuer_id, algorithm, sealed, secret_generation, activates_at, expires_at)
  on signing_keys to gatelodge_lookup;
create policy lookup on signing_keys for select to gatelodge_lookup using (true);

-- Of an issuer that a look-up has found. What is sealed opens for the service alone.
create function lookup_signing_keys(wanted_account text, wanted_issuer text) returns table (
  id text, algorithm text, sealed bytea, secret_generation integer, activates_at timestamptz, expires_at timestamptz)
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select k.id, k.algorithm, k.sealed, k.secret_generation, k.activates_at, k.expires_at
  from gatelodge.signing_keys k
  where k.account_id = wanted_account and k.issuer_id = wanted_issuer
  order by k.activates_at desc, k.id desc;
end;

-- Issuers whose newest key has signed since `due_before`, or that have keys whose time is over.
create function lookup_signing_key_work(moment timestamptz, due_before timestamptz, most integer)
  returns table (issuer_id text, account_id text)
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  (select k.issuer_id, k.account_id from gatelodge.signing_keys k
    join gatelodge.issuers i on i.id = k.issuer_id
    join gatelodge.accounts a on a.id = k.account_id
    where k.expires_at is null and k.activates_at <= due_before and not i.deleting and a.status <> 'deleting'
    order by k.activates_at limit most)
  union
  (select k.issuer_id, k.account_id from gatelodge.signing_keys k
    join gatelodge.issuers i on i.id = k.issuer_id
    join gatelodge.accounts a on a.id = k.account_id
    where k.expires_at <= moment and not i.deleting and a.status <> 'deleting'
    order by k.expires_at limit most);
end;

-- Issuers that a node of an older build has made.
create function lookup_issuers_without_signing_key(most integer) returns table (issuer_id text, account_id text)
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select i.id, i.account_id from gatelodge.issuers i
  join gatelodge.accounts a on a.id = i.account_id
  where not i.deleting and a.status <> 'deleting'
    and not exists (select from gatelodge.signing_keys k where k.issuer_id = i.id and k.expires_at is null)
  limit most;
end;

grant create on schema gatelodge to gatelodge_lookup;
-- How much still needs a generation of a secret; it may only be retired at zero.
create or replace function lookup_keys_of_generation(wanted_purpose text, wanted_generation integer) returns bigint
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select case wanted_purpose
    when 'api-key-digest' then (select count(*) from gatelodge.api_keys k
      where k.digest_generation = wanted_generation and k.status <> 'revoked')
    when 'api-key-check' then (select count(*) from gatelodge.api_keys k
      where k.check_generation = wanted_generation and k.status <> 'revoked')
    when 'signing-key' then (select count(*) from gatelodge.signing_keys k
      where k.secret_generation = wanted_generation)
    else 0 end;
end;

do $$
declare
  lookup regprocedure;
begin
  foreach lookup in array array[
    'lookup_signing_keys(text, text)', 'lookup_signing_key_work(timestamptz, timestamptz, integer)',
    'lookup_issuers_without_signing_key(integer)']::regprocedure[]
  loop
    execute format('alter function %s owner to gatelodge_lookup', lookup);
    execute format('revoke all on function %s from public', lookup);
    execute format('grant execute on function %s to gatelodge_app', lookup);
  end loop;
end $$;
revoke create on schema gatelodge from gatelodge_lookup;
