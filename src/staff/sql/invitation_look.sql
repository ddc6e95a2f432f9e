-- Whether an invitation may be used, asked before a password is hashed for it.
SELECT email FROM staff_users
 WHERE invitation_hash = $1::bytea AND invitation_hash <> '' AND invitation_ends_at > statement_timestamp() AND disabled_at IS NULL
