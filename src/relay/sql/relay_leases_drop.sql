-- A relay that ends in order: its partitions are free at once, and nobody counts it any more. And those are forgotten that did not end
-- in order, long ago. Locks its rows.
WITH free AS (
  UPDATE outbox_partitions p SET holder = '', until = '-infinity' WHERE p.holder = $1::text)
DELETE FROM leases l WHERE l.name LIKE 'relay %' AND (l.holder = $1::text OR l.until < statement_timestamp() - interval '1 hour')
