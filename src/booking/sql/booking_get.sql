-- A booking with all that is said of it: buyer, last attempt, refunds: but not of what was never taken, and not one that failed and was
-- sent again. owed: a refund failed, or (reversed) had succeeded and failed afterwards, and no person has settled its finding;
-- settled: one that a person has. Reads only.
SELECT b.show_id, b.booking_id, b.session_id, b.organizer_id, b.reference, b.state, b.seats, b.prices, b.total_minor,
       b.currency::text, b.reason, b.created_at, y.name, y.email,
       ARRAY (SELECT x.seat_no FROM booking_seats x WHERE x.show_id = b.show_id AND x.booking_id = b.booking_id
               AND x.released_at IS NOT NULL ORDER BY x.seat_no) AS released,
       coalesce((SELECT l.expires_at FROM seat_locks l WHERE l.show_id = b.show_id AND l.lock_id = b.lock_id
                  AND l.state IN ('active', 'paying')), '-infinity') AS expires_at,
       statement_timestamp() AS now, p.payment_id, p.state AS payment_state, p.failure, p.decline_code, p.action_url,
       r.amount_minor AS refund_minor, r.states AS refund_states, b.event_id, b.lock_id, p.action_until,
       coalesce(r.late, false) AS refunded_late, coalesce(r.owed, false) AS refund_owed,
       coalesce(r.reversed, false) AS refund_reversed, coalesce(r.settled, false) AS refund_settled,
       coalesce(r.under_way, false) AS refund_under_way
  FROM bookings b
  JOIN buyers y ON y.buyer_id = b.buyer_id
  LEFT JOIN LATERAL (
    SELECT q.payment_id, q.state, q.failure, q.decline_code, q.action_url, q.action_until FROM payments q
     WHERE q.show_id = b.show_id AND q.booking_id = b.booking_id
     ORDER BY q.attempt_no DESC LIMIT 1) p ON true
  LEFT JOIN LATERAL (
    SELECT sum(f.amount_minor)::bigint AS amount_minor, array_agg(DISTINCT f.state) AS states, bool_or(f.kind = 'void') AS late,
           bool_or(f.state = 'failed' AND coalesce(n.open, true)) AS owed, bool_or(f.state = 'succeeded' AND n.open) AS reversed,
           bool_or(NOT n.open) AS settled, bool_or(f.state IN ('requested', 'pending')) AS under_way
      FROM refunds f
      LEFT JOIN LATERAL (
        SELECT NOT m.settled_at < 'infinity' AS open, m.settled_how FROM payment_findings m
         WHERE m.gateway_id = f.gateway_id AND m.subject_id = f.refund_id
           AND m.kind = CASE f.state WHEN 'failed' THEN 'refund_failed' WHEN 'succeeded' THEN 'refund_reversed' END
         LIMIT 1) n ON true
     WHERE f.show_id = b.show_id AND f.booking_id = b.booking_id AND f.failure <> 'not_captured'
       AND coalesce(n.settled_how NOT LIKE 'sent again as refund %', true)
       AND (f.state <> 'failed'
            OR NOT EXISTS (SELECT 1 FROM refunds g WHERE g.show_id = b.show_id AND g.booking_id = b.booking_id
                            AND g.payment_id = f.payment_id AND g.kind = f.kind AND g.seats = f.seats
                            AND g.amount_minor = f.amount_minor AND g.created_at > f.created_at))) r ON true
 WHERE b.show_id = $1::uuid AND b.booking_id = $2::uuid
