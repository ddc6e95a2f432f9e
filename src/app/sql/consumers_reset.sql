-- The consumer $1 begins anew: behind what is in the log now ($2 'now'), or at the oldest event that is kept ('beginning'). Who runs it
-- finds its cursors moved, or its generation risen, and opens it again; what it reads until then it may do once more. Locks its row,
-- then its cursors in order.
WITH me AS (
  UPDATE consumers c SET source = 'log', generation = c.generation + 1 WHERE c.consumer = $1::text RETURNING c.consumer),
held AS (
  SELECT k.partition FROM me m JOIN consumer_cursors k ON k.consumer = m.consumer ORDER BY k.partition FOR UPDATE OF k),
moved AS (
  UPDATE consumer_cursors k
     SET position = CASE WHEN $2::text = 'now' THEN p.position
           ELSE coalesce((SELECT min(l.position) - 1 FROM outbox_log l WHERE l.partition = p.partition), p.position) END,
         seen_at = statement_timestamp()
    FROM me m, held h JOIN outbox_partitions p ON p.partition = h.partition
   WHERE k.consumer = m.consumer AND k.partition = h.partition
  RETURNING k.partition)
SELECT m.consumer, (SELECT count(*) FROM moved) AS cursors FROM me m
