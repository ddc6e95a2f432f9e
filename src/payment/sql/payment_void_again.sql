-- The gateway holds or has taken money, or could yet, for an attempt that has ended here: the settling duty shall cancel its
-- intent ($3, stored when it was not known) or give the money back. Not when a refund of it was asked for already. No state
-- changes. $4 the trail's id, $5 who says so, $6 why.
WITH wanted AS (
  UPDATE payments p SET void_wanted = true, intent_id = $3::text, settle_at = statement_timestamp(), settle_tries = 0
   WHERE p.show_id = $1::uuid AND p.payment_id = $2::uuid AND p.state IN ('failed', 'voided', 'abandoned', 'capture_failed')
     AND NOT p.void_wanted AND p.intent_id IN ('', $3::text)
     AND (SELECT count(*) FROM refunds r WHERE r.booking_id = p.booking_id AND r.show_id = $1::uuid AND r.payment_id = $2::uuid) = 0
  RETURNING p.payment_id, p.booking_id, p.state, p.amount_minor, p.currency)
INSERT INTO payment_events (show_id, event_id, payment_id, booking_id, from_state, to_state, amount_minor, currency, actor, why)
SELECT $1::uuid, $4::uuid, w.payment_id, w.booking_id, w.state, w.state, w.amount_minor, w.currency, $5::text, $6::text
  FROM wanted w
RETURNING payment_id
