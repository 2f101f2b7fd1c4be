-- Users of an issuer, and how they sign in.

-- ── Users ───────────────────────────────────────────────────────────────────────────────────────────────────────

create table users (
  id            text collate "C" primary key,
  account_id    text collate "C" not null,
  issuer_id     text collate "C" not null,
  username_type text not null check (username_type in ('email', 'unique-name', 'phone')),
  -- As it is shown and written to.
  username      text not null,
  -- As it is compared: two spellings of one name have the same key. Made in code (users/username.ts).
  username_key  text collate "C" not null,
  profile       jsonb not null default '{}',
  metadata      jsonb not null default '{}',
  status        text not null default 'active' check (status in ('active', 'suspended')),
  version       bigint not null default 1,
  created_at    timestamptz not null default now(),
  updated_at    timestamptz not null default now(),
  unique (account_id, issuer_id, id),
  foreign key (account_id, issuer_id) references issuers (account_id, id) on delete cascade
);
create unique index users_username on users (issuer_id, username_type, username_key);
create index users_by_issuer on users (account_id, issuer_id, id desc);
create index users_by_username on users (account_id, issuer_id, username collate "C", id);

-- ── Login settings ──────────────────────────────────────────────────────────────────────────────────────────────

-- What an issuer has set of how its users sign in; the defaults of the rest are in code, and an issuer that has set
-- nothing has no row.
create table login_settings (
  issuer_id  text collate "C" primary key,
  account_id text collate "C" not null,
  settings   jsonb not null,
  version    bigint not null default 1,
  updated_at timestamptz not null default now(),
  foreign key (account_id, issuer_id) references issuers (account_id, id) on delete cascade
);
-- For the foreign key: deleting an issuer has to find the row by both.
create index login_settings_of_account on login_settings (account_id, issuer_id);

do $$
declare
  tenant_table text;
begin
  foreach tenant_table in array array['users', 'login_settings']
  loop
    execute format('alter table %I enable row level security', tenant_table);
    execute format('create policy own_account on %I to gatelodge_app using (account_id = current_account())
      with check (account_id = current_account())', tenant_table);
  end loop;
end $$;

grant select, insert, update, delete on users, login_settings to gatelodge_app;
