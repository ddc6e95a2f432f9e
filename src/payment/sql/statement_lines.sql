-- A page of an organiser's ($1) statement: what was captured and what was given back from $2 to before $3, after the line
-- ($4, $5), at most $6. By the time at which it was proven here. Money that the gateway took for an attempt that had ended was
-- never captured by an arrow: its line is the request to give all of it back, not one that was made again (refund_retry). From
-- succeeded to succeeded a refund goes when the gateway takes it back (refund_reverse). One that is not ours has no row of its own,
-- its name is at the end of why (refund_foreign). Reads only, by payment_events_of_money; the rest by key, a row at a time, whatever the planner believes of the tables' sizes (hence LATERAL with LIMIT).
SELECT e.at, e.event_id,
       CASE WHEN e.to_state <> 'succeeded' THEN 'payment' WHEN e.from_state = 'succeeded' THEN 'reversal' ELSE 'refund' END AS kind,
       e.to_state = 'requested' AS late, e.show_id, e.booking_id,
       b.reference, e.payment_id, e.refund_id, coalesce(r.kind, 'foreign') AS refund_kind,
       CASE WHEN e.to_state <> 'succeeded' THEN p.intent_id WHEN e.refund_id IS NULL THEN split_part(e.why, ': ', 2)
            ELSE r.gateway_id END AS gateway_id, e.amount_minor, e.currency::text
  FROM payment_events e
 CROSS JOIN LATERAL (SELECT k.organizer_id, k.reference FROM bookings k
                      WHERE k.show_id = e.show_id AND k.booking_id = e.booking_id LIMIT 1) b
 CROSS JOIN LATERAL (SELECT k.intent_id FROM payments k WHERE k.show_id = e.show_id AND k.payment_id = e.payment_id LIMIT 1) p
  LEFT JOIN LATERAL (SELECT k.kind, k.gateway_id FROM refunds k
                      WHERE k.show_id = e.show_id AND k.booking_id = e.booking_id AND k.refund_id = e.refund_id LIMIT 1) r ON true
 WHERE e.to_state IN ('captured', 'requested', 'succeeded')
   AND e.at >= $2::timestamptz AND e.at < $3::timestamptz AND (e.at, e.event_id) > ($4::timestamptz, $5::uuid)
   AND b.organizer_id = $1::uuid
   AND ((e.to_state = 'captured' AND e.from_state <> 'captured' AND e.refund_id IS NULL)
        OR e.to_state = 'succeeded'
        OR (e.to_state = 'requested' AND r.kind = 'void'
            AND e.why NOT LIKE 'again, in place of %'))
 ORDER BY e.at, e.event_id
 LIMIT $6::int
