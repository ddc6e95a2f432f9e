-- Mails that failed, and those that are due and were tried in vain or wait for long: what a person may want to see; $1 true: also those
-- that ended well or were of no use any more, the last hundred. Nothing of a person. Reads only.
SELECT n.notification_id, n.kind, n.state, to_char(n.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), n.attempts, n.smtp_status,
       n.last_error, n.booking_id, coalesce((SELECT b.reference FROM bookings b WHERE b.show_id = n.show_id AND b.booking_id = n.booking_id), ''),
       n.message_id
  FROM (SELECT f.* FROM notifications f WHERE f.state = 'failed'
        UNION ALL
        SELECT q.* FROM notifications q
         WHERE q.state = 'queued' AND (q.last_error <> '' OR q.created_at < statement_timestamp() - interval '10 minutes')
        UNION ALL
        (SELECT e.* FROM notifications e WHERE $1::bool AND e.state IN ('sent', 'dropped') ORDER BY e.ended_at DESC LIMIT 100)) n
 ORDER BY n.created_at, n.notification_id LIMIT 10000
