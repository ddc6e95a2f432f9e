-- The sums of an organiser's ($1) statement from $2 to before $3, by currency, also of those in which nothing happened: the
-- lines of statement_lines, and what was kept of seats that were cancelled then. Of a booking whose payment was lost nothing
-- was kept. Reads only; as statement_lines.
WITH lines AS (
  SELECT e.currency::text AS currency,
         coalesce(sum(e.amount_minor) FILTER (WHERE e.to_state <> 'succeeded'), 0)::bigint AS captured,
         coalesce(sum(e.amount_minor) FILTER (WHERE e.to_state = 'succeeded' AND e.from_state <> 'succeeded'), 0)::bigint AS refunded,
         coalesce(sum(e.amount_minor) FILTER (WHERE e.from_state = 'succeeded'), 0)::bigint AS reversed,
         count(*) FILTER (WHERE e.to_state <> 'succeeded') AS payments,
         count(*) FILTER (WHERE e.to_state = 'succeeded' AND e.from_state <> 'succeeded') AS refunds,
         count(*) FILTER (WHERE e.from_state = 'succeeded') AS reversals
    FROM payment_events e
   CROSS JOIN LATERAL (SELECT k.organizer_id FROM bookings k
                        WHERE k.show_id = e.show_id AND k.booking_id = e.booking_id LIMIT 1) b
    LEFT JOIN LATERAL (SELECT k.kind FROM refunds k
                        WHERE k.show_id = e.show_id AND k.booking_id = e.booking_id AND k.refund_id = e.refund_id LIMIT 1) r ON true
   WHERE e.to_state IN ('captured', 'requested', 'succeeded')
     AND e.at >= $2::timestamptz AND e.at < $3::timestamptz
     AND b.organizer_id = $1::uuid
     AND ((e.to_state = 'captured' AND e.from_state <> 'captured' AND e.refund_id IS NULL)
          OR e.to_state = 'succeeded'
          OR (e.to_state = 'requested' AND r.kind = 'void'
              AND e.why NOT LIKE 'again, in place of %'))
   GROUP BY e.currency),
fees AS (
  SELECT b.currency::text AS currency, sum(s.price_minor - s.refund_minor)::bigint AS kept
    FROM booking_seats s
   CROSS JOIN LATERAL (SELECT k.organizer_id, k.currency, k.fee_kept_minor FROM bookings k
                        WHERE k.show_id = s.show_id AND k.booking_id = s.booking_id LIMIT 1) b
   WHERE s.released_at IS NOT NULL AND s.released_at >= $2::timestamptz AND s.released_at < $3::timestamptz
     AND b.organizer_id = $1::uuid AND b.fee_kept_minor <> 0
   GROUP BY b.currency),
all_of_them AS (
  SELECT l.currency FROM lines l UNION SELECT f.currency FROM fees f
  UNION SELECT s.currency::text FROM events v
   CROSS JOIN LATERAL (SELECT h.currency FROM shows h WHERE h.event_id = v.event_id LIMIT 1000) s
   WHERE v.organizer_id = $1::uuid)
SELECT c.currency, coalesce(l.captured, 0)::bigint AS captured, coalesce(l.refunded, 0)::bigint AS refunded,
       coalesce(f.kept, 0)::bigint AS fees_kept, coalesce(l.payments, 0) AS payments, coalesce(l.refunds, 0) AS refunds,
       coalesce(l.reversed, 0)::bigint AS reversed, coalesce(l.reversals, 0) AS reversals
  FROM all_of_them c
  LEFT JOIN lines l ON l.currency = c.currency
  LEFT JOIN fees f ON f.currency = c.currency
 ORDER BY c.currency
