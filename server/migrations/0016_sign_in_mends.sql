-- A sandbox mailbox is searched by address: which mail is to whom, without a word of it in the clear.

-- A keyed digest of the address in the issuer, under the same generation of the secret `mail` as the sealed mail. null in
-- mails of live issuers, which nobody reads, and in those of older builds, which only a look at the whole mailbox finds.
alter table mails add column recipient bytea;
create index mails_to_recipient on mails (account_id, issuer_id, recipient, id desc) where recipient is not null;
