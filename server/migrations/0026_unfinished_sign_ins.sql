-- gatelodge: no transaction
-- Whoever has said who it is and is about to go on: sign-ins of a user end with its sessions.
drop index concurrently if exists oidc_interactions_by_user;
create index concurrently oidc_interactions_by_user on oidc_records (issuer_id, user_id)
  where model = 'Interaction' and user_id is not null;
-- Users whose sessions a job is ending.
drop index concurrently if exists users_ending_sessions;
create index concurrently users_ending_sessions on users (sessions_end_before) where sessions_end_before is not null;
