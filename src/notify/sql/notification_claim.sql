-- Queued notifications that are due are claimed, at most $1: whoever sends them puts claim $2 there and has them until $3 from now;
-- then they may be taken over. The Message-ID stays what it was first ($4: its domain): whoever gets a mail twice can tell. Locks
-- the rows; those that somebody else has locked are passed over, so that two never claim one at once.
WITH due AS (
  SELECT n.notification_id FROM notifications n
   WHERE n.state = 'queued' AND n.due_at <= statement_timestamp()
   ORDER BY n.due_at LIMIT $1::int FOR UPDATE SKIP LOCKED)
UPDATE notifications n
   SET claim_id = $2::uuid, due_at = statement_timestamp() + $3::interval, attempts = n.attempts + 1,
       message_id = CASE WHEN n.message_id = '' THEN '<' || n.notification_id || '@' || $4::text || '>' ELSE n.message_id END
  FROM due d
 WHERE n.notification_id = d.notification_id
RETURNING n.notification_id, n.claim_id
