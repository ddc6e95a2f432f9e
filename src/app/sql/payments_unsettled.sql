-- Attempts and refunds that are not through after long, as the reconciler's findings have it (payments_long.sql, refunds_long.sql),
-- but straight from their rows: also when no reconciler runs.
SELECT 'attempt' AS what, p.payment_id::text AS id, p.state, p.amount_minor, p.currency::text,
       date_trunc('second', statement_timestamp() - p.created_at)::text AS age, p.settle_tries, p.intent_id AS gateway_id,
       coalesce((SELECT b.reference FROM bookings b WHERE b.show_id = p.show_id AND b.booking_id = p.booking_id), '') AS reference,
       p.settle_at < statement_timestamp() - interval '1 minute' AS overdue
  FROM payments p
 WHERE p.settle_at < 'infinity'
   AND (p.created_at < statement_timestamp() - interval '1 hour' OR (p.settle_tries >= 20 AND p.state <> 'requires_action'))
UNION ALL
SELECT 'refund', r.refund_id::text, r.state, r.amount_minor, r.currency::text,
       date_trunc('second', statement_timestamp() - r.created_at)::text, r.settle_tries, r.gateway_id,
       coalesce((SELECT b.reference FROM bookings b WHERE b.show_id = r.show_id AND b.booking_id = r.booking_id), ''),
       r.settle_at < statement_timestamp() - interval '1 minute'
  FROM refunds r
 WHERE r.settle_at < 'infinity'
   AND CASE r.state WHEN 'pending' THEN r.created_at < statement_timestamp() - interval '10 days'
                    ELSE r.created_at < statement_timestamp() - interval '1 hour' OR r.settle_tries >= 20 END
 ORDER BY 1, 6 DESC LIMIT 500
