-- Rows of the outbox past their time, some at a time, as they lie in the table: nearly in the order of their age. (Sorting them
-- would mean to read all that are old enough in every round.)
DELETE FROM outbox o USING (
  SELECT p.show_id, p.outbox_id FROM outbox p WHERE p.created_at < statement_timestamp() - $1::interval LIMIT $2::int) old
 WHERE o.show_id = old.show_id AND o.outbox_id = old.outbox_id
