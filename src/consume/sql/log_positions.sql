-- How far the log is, by partition. Reads only.
SELECT ARRAY(SELECT p.position FROM outbox_partitions p ORDER BY p.partition) AS positions
