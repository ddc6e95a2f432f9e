-- The sums per currency: the gateway's, of intents of ours, and what our rows account for.
WITH theirs AS (
  SELECT i.currency, count(*) AS intents, sum(i.received_minor) AS captured,
         coalesce(sum((SELECT sum(r.amount_minor) FROM gateway_refunds r
                        WHERE r.intent_id = i.intent_id AND r.status IN ('succeeded', 'pending', 'requires_action'))), 0) AS refunded
    FROM gateway_intents i WHERE i.payment_id IS NOT NULL GROUP BY i.currency),
ours AS (
  SELECT b.currency::text AS currency, sum(b.fee_kept_minor
           + coalesce((SELECT sum(x.price_minor) FROM booking_seats x
                        WHERE x.show_id = b.show_id AND x.booking_id = b.booking_id AND x.released_at IS NULL), 0)
           - coalesce((SELECT sum(r.amount_minor) FROM refunds r
                        WHERE r.show_id = b.show_id AND r.booking_id = b.booking_id AND r.kind = 'goodwill'
                          AND r.state <> 'failed'), 0)
           + coalesce((SELECT s.minor FROM gateway_settled s WHERE s.show_id = b.show_id AND s.booking_id = b.booking_id), 0)) AS due
    FROM bookings b GROUP BY b.currency)
SELECT coalesce(t.currency, o.currency) AS currency, coalesce(t.intents, 0) AS intents, coalesce(t.captured, 0) AS captured,
       coalesce(t.refunded, 0) AS refunded, coalesce(t.captured, 0) - coalesce(t.refunded, 0) AS net, coalesce(o.due, 0) AS due,
       coalesce(t.captured, 0) - coalesce(t.refunded, 0) - coalesce(o.due, 0) AS too_much
  FROM theirs t FULL JOIN ours o ON o.currency = t.currency
 ORDER BY 1
