-- The last number that waits to be out, by partition; -1: nothing waits. What was given to a broker before now waits up to there, or is
-- in the log: a relay moves it only when the broker has acknowledged it. Reads only.
SELECT ARRAY(SELECT coalesce((SELECT o.seq FROM outbox o WHERE outbox_partition(o.show_id) = p.partition ORDER BY o.seq DESC LIMIT 1), -1)
               FROM outbox_partitions p ORDER BY p.partition) AS marks
