-- Attempts that are not through after long, or that were looked at in vain too often, and no open finding says so. While the buyer
-- is at the bank's page many looks mean nothing. $1 how long, $2 how often. Reads only, over all shows: few are open.
SELECT p.show_id, p.payment_id, p.booking_id, p.amount_minor, p.currency::text, p.state, p.settle_tries, p.intent_id
  FROM payments p
 WHERE p.settle_at < 'infinity'
   AND (p.created_at < statement_timestamp() - $1::interval OR (p.settle_tries >= $2::int AND p.state <> 'requires_action'))
   AND coalesce((SELECT f.settled_at < 'infinity' AND f.settled_by = 'reconciler' FROM payment_findings f
                  WHERE f.gateway_id = '' AND f.subject_id = p.payment_id AND f.kind = 'attempt_unsettled'), true)
 ORDER BY p.settle_at LIMIT 100
