-- What is due, for so many calls ($1) as there is room for: of each endpoint at most $2 at a time ($3, $4: how many of which are
-- under way here), one at a time while it fails ($6 in a row); one of each before the second of any. An event waits for the earlier
-- ones of its aggregate until those have been tried $7 times. What is taken counts as tried, and is taken for lost after $5.
-- Locks what it takes; passes over what another process is taking.
WITH RECURSIVE waiting AS ( -- endpoints with something queued: from one to the next by the index
  (SELECT d.webhook_id FROM webhook_deliveries d WHERE d.state = 'queued' ORDER BY d.webhook_id LIMIT 1)
  UNION ALL
  SELECT (SELECT d.webhook_id FROM webhook_deliveries d WHERE d.state = 'queued' AND d.webhook_id > w.webhook_id
           ORDER BY d.webhook_id LIMIT 1)
    FROM waiting w WHERE w.webhook_id IS NOT NULL),
ready AS (
  SELECT e.webhook_id, CASE WHEN e.failures >= $6::int THEN 1 ELSE $2::int END - coalesce(f.n, 0) AS room
    FROM waiting w
    JOIN webhook_endpoints e ON e.webhook_id = w.webhook_id
    LEFT JOIN unnest($3::uuid[], $4::int[]) AS f (webhook_id, n) ON f.webhook_id = e.webhook_id
   WHERE e.state = 'enabled' AND e.resume_at <= statement_timestamp()),
due AS (
  SELECT r.webhook_id, p.event_id, row_number() OVER (PARTITION BY r.webhook_id ORDER BY p.next_at, p.seq) AS nth, p.next_at
    FROM ready r
   CROSS JOIN LATERAL (
     SELECT d.event_id, d.next_at, d.seq FROM webhook_deliveries d
      WHERE d.webhook_id = r.webhook_id AND d.state = 'queued' AND d.next_at <= statement_timestamp()
        AND NOT EXISTS (SELECT 1 FROM webhook_deliveries b
                         WHERE b.webhook_id = d.webhook_id AND b.aggregate = d.aggregate AND b.state = 'queued'
                           AND b.seq < d.seq AND b.attempts < $7::int)
      ORDER BY d.next_at, d.seq LIMIT greatest(r.room, 0)) p
   ORDER BY nth, p.next_at LIMIT $1::int),
mine AS (
  SELECT d.webhook_id, d.event_id FROM due u JOIN webhook_deliveries d ON d.webhook_id = u.webhook_id AND d.event_id = u.event_id
   WHERE d.state = 'queued' AND d.next_at <= statement_timestamp()
     FOR NO KEY UPDATE OF d SKIP LOCKED)
UPDATE webhook_deliveries d
   SET attempts = d.attempts + 1, last_attempt_at = statement_timestamp(), next_at = statement_timestamp() + $5::interval
  FROM mine m JOIN webhook_endpoints e ON e.webhook_id = m.webhook_id
 WHERE d.webhook_id = m.webhook_id AND d.event_id = m.event_id
RETURNING d.webhook_id, d.event_id, d.attempts, d.body, e.url, e.secret,
          CASE WHEN e.old_secret_ends_at > statement_timestamp() THEN e.old_secret ELSE '' END AS old_secret
