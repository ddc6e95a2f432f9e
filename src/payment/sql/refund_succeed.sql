-- requested, pending -> succeeded: the gateway has given the money back. Locks the refund's row.
WITH old AS (
  SELECT r.state FROM refunds r
   WHERE r.show_id = $1::uuid AND r.refund_id = $2::uuid AND r.state IN ('requested', 'pending') FOR NO KEY UPDATE),
moved AS (
  UPDATE refunds r SET state = 'succeeded', version = r.version + 1, gateway_id = $6::text, settle_at = 'infinity'
    FROM old WHERE r.show_id = $1::uuid AND r.refund_id = $2::uuid AND r.state = old.state
  RETURNING r.refund_id, r.payment_id, r.booking_id, r.state, r.amount_minor, r.currency, r.kind, r.version, old.state AS was),
noted AS (
  INSERT INTO payment_events (show_id, event_id, payment_id, booking_id, refund_id, from_state, to_state, amount_minor, currency,
                              actor, why, gateway_request_id)
  SELECT $1::uuid, $3::uuid, m.payment_id, m.booking_id, m.refund_id, m.was, m.state, m.amount_minor, m.currency, $5::text,
         'the gateway has given the money back', $7::text
    FROM moved m),
told AS (
  INSERT INTO outbox (show_id, outbox_id, topic, events)
  SELECT $1::uuid, $4::uuid, 'payment', json_build_array(json_build_object('type', 'refund.succeeded', 'refund_id', m.refund_id,
           'version', m.version, 'show_id', $1::uuid, 'booking_id', m.booking_id, 'payment_id', m.payment_id, 'kind', m.kind,
           'amount', json_build_object('amount', m.amount_minor, 'currency', m.currency)))
    FROM moved m)
SELECT m.booking_id FROM moved m
