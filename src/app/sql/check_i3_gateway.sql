-- I3, the gateway's half: captured less refunded there is the price of the live seats, plus the fee kept, less goodwill, plus what
-- went back in another way (gateway_settled), per booking and currency; and what is through here is through there. $1: which look this is, $2: how late the one whose duty it
-- is may be. What is pending for less than that (a capture not proven, a void to be made, a refund under way) is no fault.
WITH refunded AS (
  SELECT r.intent_id, sum(r.amount_minor) AS minor, string_agg(r.refund_id, ', ' ORDER BY r.refund_id) AS ids
    FROM gateway_refunds r WHERE r.status IN ('succeeded', 'pending', 'requires_action')
   GROUP BY r.intent_id),
intents AS (
  SELECT i.*, coalesce(r.minor, 0) AS refunded_minor, r.ids AS refunds
    FROM gateway_intents i LEFT JOIN refunded r ON r.intent_id = i.intent_id
   WHERE i.payment_id IS NOT NULL),
theirs AS (
  SELECT i.show_id, i.booking_id, i.currency, sum(i.received_minor) AS captured, sum(i.refunded_minor) AS refunded,
         count(*) FILTER (WHERE i.received_minor > i.refunded_minor) AS kept,
         string_agg(i.intent_id, ', ' ORDER BY i.intent_id) FILTER (WHERE i.received_minor > 0) AS ids,
         string_agg(i.refunds, ', ' ORDER BY i.intent_id) AS refunds
    FROM intents i GROUP BY i.show_id, i.booking_id, i.currency),
live AS (
  SELECT x.show_id, x.booking_id, sum(x.price_minor) AS minor FROM booking_seats x
   WHERE x.released_at IS NULL GROUP BY x.show_id, x.booking_id),
goodwill AS (
  SELECT r.show_id, r.booking_id, sum(r.amount_minor) AS minor FROM refunds r
   WHERE r.kind = 'goodwill' AND r.state <> 'failed' GROUP BY r.show_id, r.booking_id),
ours AS (
  SELECT b.show_id, b.booking_id, b.reference, b.state, b.currency::text AS currency, coalesce(l.minor, 0) AS live,
         b.fee_kept_minor AS fee, coalesce(g.minor, 0) AS goodwill, coalesce(s.minor, 0) AS elsewhere
    FROM bookings b
    LEFT JOIN live l ON l.show_id = b.show_id AND l.booking_id = b.booking_id
    LEFT JOIN goodwill g ON g.show_id = b.show_id AND g.booking_id = b.booking_id
    LEFT JOIN gateway_settled s ON s.show_id = b.show_id AND s.booking_id = b.booking_id),
uneven AS (
  SELECT coalesce(o.show_id, t.show_id) AS show_id, coalesce(o.booking_id, t.booking_id) AS booking_id,
         coalesce(o.currency, t.currency) AS currency, coalesce(t.captured, 0) AS captured, coalesce(t.refunded, 0) AS refunded,
         coalesce(t.kept, 0) AS kept, t.ids, t.refunds, coalesce(o.live, 0) AS live, coalesce(o.fee, 0) AS fee,
         coalesce(o.goodwill, 0) AS goodwill, coalesce(o.elsewhere, 0) AS elsewhere
    FROM ours o FULL JOIN theirs t ON t.show_id = o.show_id AND t.booking_id = o.booking_id AND t.currency = o.currency
   WHERE coalesce(t.captured, 0) - coalesce(t.refunded, 0)
         <> coalesce(o.live, 0) + coalesce(o.fee, 0) - coalesce(o.goodwill, 0) + coalesce(o.elsewhere, 0)),
last AS ( -- arrow of an attempt or a refund
  SELECT e.show_id, e.payment_id, e.refund_id, max(e.at) AS at FROM payment_events e
   GROUP BY e.show_id, e.payment_id, e.refund_id),
pending AS (
  SELECT DISTINCT p.show_id, p.booking_id
    FROM payments p
    LEFT JOIN last e ON e.show_id = p.show_id AND e.payment_id = p.payment_id AND e.refund_id IS NULL
   WHERE (p.state = 'authorised' OR p.void_wanted) AND coalesce(e.at, p.created_at) > transaction_timestamp() - $2::interval
  UNION
  SELECT r.show_id, r.booking_id
    FROM refunds r LEFT JOIN last e ON e.show_id = r.show_id AND e.refund_id = r.refund_id
   WHERE r.state IN ('requested', 'pending') AND coalesce(e.at, r.created_at) > transaction_timestamp() - $2::interval)
INSERT INTO gateway_faults (look, show_id, fault)
SELECT $1::int, f.show_id, f.fault FROM (
SELECT u.show_id, 'booking ' || b.reference || ' (' || b.state || '): '
       || CASE WHEN u.kept > 1 THEN 'captured ' || u.kept || ' times: ' ELSE '' END
       || 'the gateway has captured ' || u.captured || coalesce(' (' || u.ids || ')', '') || ' less refunds ' || u.refunded
       || coalesce(' (' || u.refunds || ')', '') || ' ' || u.currency || ', which is not seats ' || u.live || ' plus fee '
       || u.fee || ' less goodwill ' || u.goodwill
       || CASE WHEN u.elsewhere <> 0 THEN ' plus ' || u.elsewhere || ' settled in another way' ELSE '' END AS fault
  FROM uneven u JOIN bookings b ON b.show_id = u.show_id AND b.booking_id = u.booking_id
  LEFT JOIN pending w ON w.show_id = u.show_id AND w.booking_id = u.booking_id
 WHERE w.booking_id IS NULL
UNION ALL
SELECT i.show_id, coalesce('booking ' || b.reference, 'booking ' || i.booking_id || ' (not here)', 'no booking') || ': intent '
       || i.intent_id || ' has captured ' || i.received_minor || ' less refunds ' || i.refunded_minor || ' ' || i.currency
       || ' at the gateway, but its attempt ' || i.payment_id || ' is not here'
  FROM intents i
  LEFT JOIN payments p ON p.show_id = i.show_id AND p.payment_id = i.payment_id
  LEFT JOIN bookings b ON b.show_id = i.show_id AND b.booking_id = i.booking_id
 WHERE p.payment_id IS NULL AND i.received_minor <> i.refunded_minor
UNION ALL
SELECT i.show_id, coalesce('booking ' || b.reference, 'booking ' || i.booking_id || ' (not here)', 'no booking') || ': intent '
       || i.intent_id || ' holds ' || i.amount_minor || ' ' || i.currency || ' at the gateway although its attempt '
       || i.payment_id || ' is ' || coalesce(p.state, 'not here')
  FROM intents i
  LEFT JOIN payments p ON p.show_id = i.show_id AND p.payment_id = i.payment_id
  LEFT JOIN last e ON e.show_id = p.show_id AND e.payment_id = p.payment_id AND e.refund_id IS NULL
  LEFT JOIN bookings b ON b.show_id = i.show_id AND b.booking_id = i.booking_id
 WHERE i.status = 'requires_capture'
   AND (p.payment_id IS NULL OR p.state IN ('failed', 'voided', 'abandoned', 'capture_failed'))
   AND coalesce(e.at, p.created_at, i.created_at) < transaction_timestamp() - $2::interval
UNION ALL
SELECT p.show_id, 'booking ' || b.reference || ': attempt ' || p.payment_id || ' is captured here (' || p.amount_minor || ' '
       || p.currency || '), but the gateway ' || CASE WHEN i.intent_id IS NULL THEN 'does not have intent '
            || CASE p.intent_id WHEN '' THEN '(no id)' ELSE p.intent_id END
            ELSE 'has intent ' || i.intent_id || ' as ' || i.status || ' with ' || i.received_minor || ' ' || i.currency
              || ' captured' END
  FROM payments p
  JOIN bookings b ON b.show_id = p.show_id AND b.booking_id = p.booking_id
  LEFT JOIN gateway_intents i ON i.intent_id = p.intent_id
 WHERE p.state = 'captured'
   AND (i.intent_id IS NULL OR i.received_minor <> p.amount_minor OR i.currency <> p.currency::text)
UNION ALL
SELECT r.show_id, 'booking ' || b.reference || ': refund ' || r.refund_id || ' has succeeded here (' || r.amount_minor || ' '
       || r.currency || '), but the gateway ' || CASE WHEN g.refund_id IS NULL THEN 'does not have refund '
            || CASE r.gateway_id WHEN '' THEN '(no id)' ELSE r.gateway_id END
            ELSE 'has refund ' || g.refund_id || ' as ' || g.status || ' of ' || g.amount_minor || ' ' || g.currency END
  FROM refunds r
  JOIN bookings b ON b.show_id = r.show_id AND b.booking_id = r.booking_id
  LEFT JOIN gateway_refunds g ON g.refund_id = r.gateway_id
 WHERE r.state = 'succeeded'
   AND (SELECT count(*) FROM payment_findings f WHERE f.subject_id = r.refund_id AND f.kind = 'refund_reversed'
           AND f.settled_at < 'infinity' AND f.settled_by <> 'reconciler') = 0
   AND (g.refund_id IS NULL OR g.status <> 'succeeded' OR g.amount_minor <> r.amount_minor OR g.currency <> r.currency::text)) f
