-- Events that were set aside and then left out, $1 ago; at most $2. Locks their rows.
DELETE FROM outbox_parked p USING (
  SELECT q.show_id, q.outbox_id, q.place FROM outbox_parked q
   WHERE q.state = 'skipped' AND q.ended_at < statement_timestamp() - $1::interval LIMIT $2::int) old
 WHERE p.show_id = old.show_id AND p.outbox_id = old.outbox_id AND p.place = old.place
