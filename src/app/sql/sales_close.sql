-- Sales are closed. $1 why, $2 the time of the backup that was restored, or NULL: closed by hand. $3 the oldest program that works
-- on the schema (0: as it was). A restore that waits for its end stays one.
INSERT INTO system_state AS s (sales, reason, restored_to, oldest_program) VALUES ('closed', $1::text, $2::timestamptz, $3::int)
ON CONFLICT (only_one) DO UPDATE SET sales = 'closed', reason = excluded.reason, since = statement_timestamp(),
   restored_to = coalesce(excluded.restored_to, s.restored_to), oldest_program = greatest(s.oldest_program, excluded.oldest_program)
