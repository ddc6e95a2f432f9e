-- A consumer that has never run: its row, and its cursors where it begins: $2 'now', or 'beginning' for the oldest event that is kept.
-- Without effect when it has run before. Of two at once one waits for the other and does nothing.
WITH made AS (
  INSERT INTO consumers (consumer) VALUES ($1::text) ON CONFLICT DO NOTHING RETURNING consumer)
INSERT INTO consumer_cursors (consumer, partition, position)
SELECT m.consumer, p.partition,
       CASE WHEN $2::text = 'now' THEN p.position
            ELSE coalesce((SELECT min(l.position) - 1 FROM outbox_log l WHERE l.partition = p.partition), p.position) END
  FROM made m CROSS JOIN outbox_partitions p
ON CONFLICT DO NOTHING
