-- The consumers of events: what each reads, how many rows of the log are behind its cursor (on Kafka the cursor follows some seconds
-- behind), how many events are parked, how long ago it was last seen, what is the matter. Reads only.
SELECT c.consumer, CASE WHEN c.source = 'log' THEN 'the log' ELSE 'Kafka' END AS source,
       coalesce((SELECT sum(greatest(p.position - k.position, 0)) FROM consumer_cursors k JOIN outbox_partitions p USING (partition)
                  WHERE k.consumer = c.consumer), 0) AS behind,
       (SELECT count(*) FROM consumer_parked q WHERE q.consumer = c.consumer) AS parked,
       floor(extract(epoch FROM statement_timestamp() - c.seen_at))::bigint AS seen_s, c.failures, c.trouble
  FROM consumers c ORDER BY c.consumer
