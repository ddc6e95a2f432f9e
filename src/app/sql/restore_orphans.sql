-- Money at the gateway for which there is no attempt here, and which nobody has seen to.
SELECT f.gateway_id, f.amount_minor, f.currency, f.detail, f.kind FROM payment_findings f
 WHERE f.kind IN ('orphan_payment', 'orphan_intent') AND f.settled_at = 'infinity' ORDER BY f.found_at
