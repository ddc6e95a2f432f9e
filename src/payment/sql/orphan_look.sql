-- What is known here of the attempt ($2) that an intent of the gateway ($3) names; always one row. Reads only. open: findings
-- about this intent that nobody has settled (found by the key: not by = 'infinity', which would read all open ones).
SELECT coalesce((SELECT true FROM shows s WHERE s.show_id = $1::uuid), false) AS show_known, p.payment_id IS NOT NULL AS known,
       coalesce(p.state, '') AS state, coalesce(p.intent_id, '') AS intent_id, coalesce(p.void_wanted, false) AS void_wanted,
       coalesce((SELECT count(*) FROM refunds r WHERE r.booking_id = p.booking_id AND r.show_id = $1::uuid
                  AND r.payment_id = $2::uuid), 0) > 0 AS refunded,
       coalesce(p.amount_minor, 0) AS amount_minor, coalesce(p.currency::text, '') AS currency,
       (SELECT count(*) FROM payment_findings f WHERE f.gateway_id = $3::text AND NOT f.settled_at < 'infinity') AS open
  FROM (SELECT 1) AS one
  LEFT JOIN payments p ON p.show_id = $1::uuid AND p.payment_id = $2::uuid
