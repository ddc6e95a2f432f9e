-- Where a consumer stands. Reads only.
SELECT c.source, c.generation,
       ARRAY(SELECT coalesce(k.position, 0) FROM outbox_partitions p
               LEFT JOIN consumer_cursors k ON k.consumer = c.consumer AND k.partition = p.partition ORDER BY p.partition) AS positions
  FROM consumers c WHERE c.consumer = $1::text
