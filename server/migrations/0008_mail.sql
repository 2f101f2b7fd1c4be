-- Mails that wait to be handed to the mail server, and those of sandbox issuers, which are kept for a day to be read.
--
-- Nodes of the build before this one may still run; they know nothing of mails.

create table mails (
  id                text collate "C" primary key,
  account_id        text collate "C" not null,
  issuer_id         text collate "C" not null,
  environment       text collate "C" not null check (environment in ('live', 'sandbox')),
  -- What it is about, for the event that tells that it could not be delivered.
  subject_type      text collate "C" not null,
  subject_id        text collate "C" not null,
  -- To whom and what, under the installation secret `mail`, bound to account, issuer and id. Gone with the row once the
  -- mail is delivered or given up.
  sealed            bytea not null,
  secret_generation integer not null,
  -- Done for the sake of its time alone: nobody is to get it, and the caller must not be able to tell.
  is_withheld       boolean not null default false,
  -- When to look at it (again). Whoever claims it moves this to the end of its lease. null: it is kept to be read.
  due_at            timestamptz,
  -- How often it has been claimed. Whoever claimed it last may say what became of it, and nobody else.
  attempts          integer not null default 0,
  -- From here on it is of no use to whom it is for.
  not_after         timestamptz not null,
  created_at        timestamptz not null,
  check (due_at is not null or environment = 'sandbox'),
  foreign key (account_id, issuer_id) references issuers (account_id, id) on delete cascade
);
create index mails_due on mails (due_at) where due_at is not null;
create index mails_waiting_about on mails (subject_id) where due_at is not null;
create index mails_of_issuer on mails (account_id, issuer_id, id desc);
create index mails_kept on mails (created_at) where environment = 'sandbox';
create index mails_secret_generation on mails (secret_generation);

alter table mails enable row level security;
create policy own_account on mails to gatelodge_app using (account_id = current_account())
  with check (account_id = current_account());
grant select, insert, update (due_at), delete on mails to gatelodge_app;

-- ── What sees mails of all accounts ─────────────────────────────────────────────────────────────────────────────

grant select, update (due_at, attempts), delete on mails to gatelodge_lookup;
create policy deliver on mails for all to gatelodge_lookup using (true) with check (true);

-- Takes mails that are due until the end of a lease; the sealed ones open for the service alone. Each account in turn gets
-- its oldest one taken, so that none has to wait for another's thousands. Mails of what is suspended wait, until they have
-- expired; those of what is being deleted are left to its deletion.
create function claim_mails(moment timestamptz, lease_end timestamptz, most integer) returns table (
  id text, account_id text, issuer_id text, environment text, subject_type text, subject_id text, sealed bytea,
  secret_generation integer, is_withheld boolean, attempts integer, not_after timestamptz, created_at timestamptz)
  language sql volatile security definer set search_path = pg_catalog, pg_temp
begin atomic
  with oldest as (
    select m.id, m.account_id, m.due_at from gatelodge.mails m
    join gatelodge.accounts a on a.id = m.account_id
    join gatelodge.issuers i on i.id = m.issuer_id
    where m.due_at <= moment and a.status <> 'deleting' and not i.deleting
      and (a.status = 'active' and i.status = 'active' or m.not_after <= moment)
    order by m.due_at limit 5000
  ), in_turn as (
    select o.id, o.due_at, row_number() over (partition by o.account_id order by o.due_at, o.id) as turn from oldest o
  ), claimed as (
    select m.id from gatelodge.mails m join in_turn t on t.id = m.id
    where m.due_at <= moment
    order by t.turn, t.due_at, t.id limit most for update of m skip locked
  )
  update gatelodge.mails m set due_at = lease_end, attempts = m.attempts + 1
  from claimed c where m.id = c.id
  returning m.id, m.account_id, m.issuer_id, m.environment, m.subject_type, m.subject_id, m.sealed, m.secret_generation,
    m.is_withheld, m.attempts, m.not_after, m.created_at;
end;

-- How many mails wait for somebody to get them, and how long the first of them has.
create function lookup_waiting_mails(moment timestamptz) returns table (waiting bigint, oldest_seconds double precision)
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select count(*), greatest(coalesce(extract(epoch from moment - min(m.created_at)), 0), 0)::double precision
  from gatelodge.mails m where m.due_at is not null and not m.is_withheld;
end;

-- Deletes mails of sandbox issuers that have been kept for long enough, some at a time. Answers how many.
create function sweep_mails(kept_since timestamptz, most integer) returns bigint
  language sql volatile security definer set search_path = pg_catalog, pg_temp
begin atomic
  with doomed as (
    select m.id from gatelodge.mails m where m.environment = 'sandbox' and m.created_at <= kept_since limit most
  ), gone as (
    delete from gatelodge.mails m using doomed d where m.id = d.id returning 1
  )
  select count(*) from gone;
end;

-- How many mails still need a generation of their secret; it may only be retired at zero.
create function lookup_mails_of_generation(wanted_purpose text, wanted_generation integer) returns bigint
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select count(*) from gatelodge.mails m where wanted_purpose = 'mail' and m.secret_generation = wanted_generation;
end;

grant create on schema gatelodge to gatelodge_lookup;
do $$
declare
  lookup regprocedure;
begin
  foreach lookup in array array[
    'claim_mails(timestamptz, timestamptz, integer)', 'lookup_waiting_mails(timestamptz)',
    'sweep_mails(timestamptz, integer)', 'lookup_mails_of_generation(text, integer)']::regprocedure[]
  loop
    execute format('alter function %s owner to gatelodge_lookup', lookup);
    execute format('revoke all on function %s from public', lookup);
    execute format('grant execute on function %s to gatelodge_app', lookup);
  end loop;
end $$;
revoke create on schema gatelodge from gatelodge_lookup;
