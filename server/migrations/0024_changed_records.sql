-- A browser login that gets another id is changed in place, so that whoever ends it at the same moment finds it: under the
-- newest generation of the secret, which has to be held against retired ones as that of a new record is.
create trigger live_oidc_generation_of_changed after update on oidc_records
  referencing new table as made
  for each statement execute function require_live_oidc_generation();
