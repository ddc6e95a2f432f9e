-- I4: nothing that must end is past its bound. $1: how late the one whose duty it is may be.
SELECT l.show_id, 'lock ' || l.lock_id || ' is active ' || date_trunc('second', transaction_timestamp() - l.expires_at) || ' past its end' AS fault
  FROM seat_locks l
 WHERE l.state = 'active' AND l.expires_at < transaction_timestamp() - $1::interval
UNION ALL
SELECT l.show_id, 'lock ' || l.lock_id || ' is being paid longer than 30 minutes after it was made'
  FROM seat_locks l
 WHERE l.state = 'paying' AND l.created_at < transaction_timestamp() - interval '30 minutes' - $1::interval
UNION ALL
SELECT s.show_id, 'seat ' || s.seat_no || ' is held ' || date_trunc('second', transaction_timestamp() - s.expires_at) || ' past the end of its lock'
  FROM show_seats s
 WHERE s.state = 1 AND s.expires_at < transaction_timestamp() - $1::interval
UNION ALL
SELECT b.show_id, 'booking ' || b.reference || ' waits for a payment although its lock has ended'
  FROM bookings b LEFT JOIN seat_locks l ON l.show_id = b.show_id AND l.lock_id = b.lock_id
 WHERE b.state = 'payment_pending' AND (l.state = 'paying' OR (l.state = 'active' AND l.expires_at > transaction_timestamp())) IS NOT TRUE
   AND coalesce(least(l.ended_at, l.expires_at), b.created_at) < transaction_timestamp() - $1::interval
UNION ALL
SELECT p.show_id, 'payment ' || p.payment_id || ' is ' || p.state || ' past the time it may hold its seats'
  FROM payments p
 WHERE p.state IN ('created', 'requires_action') AND p.hold_until < transaction_timestamp() - $1::interval
UNION ALL
SELECT p.show_id, 'payment ' || p.payment_id || ' waits for the bank''s page longer than 10 minutes after the end of its lock'
  FROM payments p
 WHERE p.state = 'requires_action' AND p.action_until < transaction_timestamp() - $1::interval
UNION ALL
SELECT p.show_id, 'payment ' || p.payment_id || ' may hold its seats longer than its lock allows'
  FROM payments p JOIN seat_locks l ON l.show_id = p.show_id AND l.lock_id = p.lock_id
 WHERE p.state IN ('created', 'requires_action')
   AND (p.hold_until > l.created_at + interval '30 minutes'
        OR p.action_until > least(l.expires_at + interval '10 minutes', l.created_at + interval '30 minutes'))
UNION ALL
SELECT l.show_id, 'lock ' || l.lock_id || ' is being paid, but by no attempt'
  FROM seat_locks l
 WHERE l.state = 'paying'
   AND NOT EXISTS (SELECT 1 FROM payments p WHERE p.show_id = l.show_id AND p.lock_id = l.lock_id
                    AND p.state IN ('created', 'requires_action'))
UNION ALL
SELECT p.show_id, 'payment ' || p.payment_id || ' (' || p.state || ') should have been looked at '
       || date_trunc('second', transaction_timestamp() - p.settle_at) || ' ago'
  FROM payments p
 WHERE p.settle_at < transaction_timestamp() - interval '1 minute' - $1::interval
UNION ALL
SELECT r.show_id, 'refund ' || r.refund_id || ' (' || r.state || ') should have been looked at '
       || date_trunc('second', transaction_timestamp() - r.settle_at) || ' ago'
  FROM refunds r
 WHERE r.state IN ('requested', 'pending') AND r.settle_at < transaction_timestamp() - interval '1 minute' - $1::interval
 ORDER BY 1, 2
