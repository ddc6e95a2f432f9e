-- I4: what is past its bound and should have been ended by a duty, $1 after which that is a fault. By the indexes that the duties
-- use; at most $2 of each. Reads only.
SELECT 4 AS invariant, f.show_id, f.subject_id, f.fault FROM (
(SELECT l.show_id, l.lock_id AS subject_id, 'lock ' || l.lock_id || ' is active past its end' AS fault
  FROM seat_locks l
 WHERE l.state = 'active' AND l.expires_at < statement_timestamp() - $1::interval
 ORDER BY l.expires_at LIMIT $2::int)
UNION ALL
(SELECT l.show_id, l.lock_id, 'lock ' || l.lock_id || ' is being paid longer than 30 minutes after it was made'
  FROM seat_locks l
 WHERE l.state = 'paying' AND l.expires_at < statement_timestamp() AND l.created_at < statement_timestamp() - interval '30 minutes' - $1::interval
 ORDER BY l.expires_at LIMIT $2::int)
UNION ALL
(SELECT b.show_id, b.booking_id, 'booking ' || b.reference || ' waits for a payment although its lock has ended'
  FROM bookings b
  LEFT JOIN LATERAL (SELECT l.state, l.expires_at, l.ended_at FROM seat_locks l
                      WHERE l.show_id = b.show_id AND l.lock_id = b.lock_id LIMIT 1) l ON true
 WHERE b.state = 'payment_pending' AND b.created_at < statement_timestamp() - $1::interval
   AND (l.state = 'paying' OR (l.state = 'active' AND l.expires_at > statement_timestamp())) IS NOT TRUE
   AND coalesce(least(l.ended_at, l.expires_at), b.created_at) < statement_timestamp() - $1::interval
 ORDER BY b.created_at LIMIT $2::int)
UNION ALL
(SELECT p.show_id, p.payment_id, 'payment ' || p.payment_id || ' (' || p.state || ') should have been looked at long ago'
  FROM payments p
 WHERE p.settle_at < 'infinity' AND p.settle_at < statement_timestamp() - interval '1 minute' - $1::interval
 ORDER BY p.settle_at LIMIT $2::int)
UNION ALL
(SELECT r.show_id, r.refund_id, 'refund ' || r.refund_id || ' (' || r.state || ') should have been looked at long ago'
  FROM refunds r
 WHERE r.settle_at < 'infinity' AND r.settle_at < statement_timestamp() - interval '1 minute' - $1::interval
 ORDER BY r.settle_at LIMIT $2::int)) f
