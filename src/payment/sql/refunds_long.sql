-- As payments_long, for refunds. The gateway may be at one (pending) for days.
SELECT r.show_id, r.refund_id, r.booking_id, r.amount_minor, r.currency::text, r.state, r.settle_tries, r.gateway_id
  FROM refunds r
 WHERE r.settle_at < 'infinity'
   AND CASE r.state WHEN 'pending' THEN r.created_at < statement_timestamp() - interval '10 days'
                    ELSE r.created_at < statement_timestamp() - $1::interval OR r.settle_tries >= $2::int END
   AND coalesce((SELECT f.settled_at < 'infinity' AND f.settled_by = 'reconciler' FROM payment_findings f
                  WHERE f.gateway_id = '' AND f.subject_id = r.refund_id AND f.kind = 'refund_unsettled'), true)
 ORDER BY r.settle_at LIMIT 100
