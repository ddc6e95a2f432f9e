-- Findings about payments that were settled longer ago than they are kept, some at a time. They are few: a person settles them.
DELETE FROM payment_findings f USING (
  SELECT o.finding_id FROM payment_findings o WHERE o.settled_at < statement_timestamp() - $1::interval LIMIT $2::int) old
 WHERE f.finding_id = old.finding_id
