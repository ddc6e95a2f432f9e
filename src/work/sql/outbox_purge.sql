-- Rows of the outbox past their time, some at a time, oldest first.
DELETE FROM outbox o USING (
  SELECT p.show_id, p.outbox_id FROM outbox p WHERE p.created_at < statement_timestamp() - $1::interval
   ORDER BY p.created_at LIMIT $2::int) old
 WHERE o.show_id = old.show_id AND o.outbox_id = old.outbox_id
