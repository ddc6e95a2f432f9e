-- I4: what is past its bound and should have been ended by a duty, $1 after which that is a fault; and I5 as far as the newest rows
-- show it. By the indexes that the duties use; at most $2 of each. Reads only.
SELECT f.invariant, f.show_id, f.subject_id, f.fault FROM (
(SELECT 4 AS invariant, l.show_id, l.lock_id AS subject_id, 'lock ' || l.lock_id || ' is active past its end' AS fault
  FROM seat_locks l
 WHERE l.state = 'active' AND l.expires_at < statement_timestamp() - $1::interval
 ORDER BY l.expires_at LIMIT $2::int)
UNION ALL
(SELECT 4, l.show_id, l.lock_id, 'lock ' || l.lock_id || ' is being paid longer than 30 minutes after it was made'
  FROM seat_locks l
 WHERE l.state = 'paying' AND l.expires_at < statement_timestamp() AND l.created_at < statement_timestamp() - interval '30 minutes' - $1::interval
 ORDER BY l.expires_at LIMIT $2::int)
UNION ALL
(SELECT 4, b.show_id, b.booking_id, 'booking ' || b.reference || ' waits for a payment although its lock has ended'
  FROM bookings b
  LEFT JOIN LATERAL (SELECT l.state, l.expires_at, l.ended_at FROM seat_locks l
                      WHERE l.show_id = b.show_id AND l.lock_id = b.lock_id LIMIT 1) l ON true
 WHERE b.state = 'payment_pending' AND b.created_at < statement_timestamp() - $1::interval
   AND (l.state = 'paying' OR (l.state = 'active' AND l.expires_at > statement_timestamp())) IS NOT TRUE
   AND coalesce(least(l.ended_at, l.expires_at), b.created_at) < statement_timestamp() - $1::interval
 ORDER BY b.created_at LIMIT $2::int)
UNION ALL
(SELECT 4, p.show_id, p.payment_id, 'payment ' || p.payment_id || ' (' || p.state || ') should have been looked at long ago'
  FROM payments p
 WHERE p.settle_at < 'infinity' AND p.settle_at < statement_timestamp() - interval '1 minute' - $1::interval
 ORDER BY p.settle_at LIMIT $2::int)
UNION ALL
(SELECT 4, r.show_id, r.refund_id, 'refund ' || r.refund_id || ' (' || r.state || ') should have been looked at long ago'
  FROM refunds r
 WHERE r.settle_at < 'infinity' AND r.settle_at < statement_timestamp() - interval '1 minute' - $1::interval
 ORDER BY r.settle_at LIMIT $2::int)
UNION ALL
(SELECT 5, o.show_id, o.outbox_id, 'the row ' || o.outbox_id || ' waits to go out since ' || date_trunc('second', o.created_at)
  FROM outbox_partitions p
 CROSS JOIN LATERAL (SELECT q.show_id, q.outbox_id, q.created_at FROM outbox q WHERE outbox_partition(q.show_id) = p.partition
                      ORDER BY q.seq LIMIT 1) o
 WHERE p.partition >= 0 AND o.created_at < statement_timestamp() - interval '15 minutes' - $1::interval
 LIMIT $2::int)
UNION ALL
(SELECT 5, '00000000-0000-0000-0000-000000000000'::uuid, ('00000000-0000-0000-0000-' || lpad(p.partition::text, 12, '0'))::uuid,
       'partition ' || p.partition || ' of the log has a gap, or does not end with the last position given out'
  FROM outbox_partitions p
 CROSS JOIN LATERAL (SELECT count(*) AS n, min(k.position) AS first, max(k.position) AS last
                       FROM (SELECT l.position FROM outbox_log l WHERE l.partition = p.partition
                              ORDER BY l.position DESC LIMIT 100) k) l
 WHERE p.partition >= 0 AND l.n > 0 AND (l.last <> p.position OR l.last - l.first + 1 <> l.n)
 LIMIT $2::int)
UNION ALL
(SELECT 5, p.show_id, p.outbox_id, 'event ' || p.outbox_id || ':' || p.place || ' (' || p.aggregate || ') is set aside: ' || p.cause
  FROM outbox_parked p WHERE p.state = 'refused' ORDER BY p.parked_at LIMIT $2::int)) f
