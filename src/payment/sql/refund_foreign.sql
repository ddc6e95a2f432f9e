-- Money of a payment that somebody gave back at the gateway, not by this program: for the trail and the statement, once. $4 the
-- refund's name there; $7: it has failed. It may be heard of in any order: one that failed first is never given. A refund of its
-- own it has not (refund_id is null). After payments_lock: who says the same waits there, and this must begin when it is over.
WITH said AS (
  SELECT count(*) FILTER (WHERE e.from_state = '') > 0 AS known,
         count(*) FILTER (WHERE e.from_state = '' AND e.to_state = 'succeeded') > count(*) FILTER (WHERE e.from_state = 'succeeded') AS given
    FROM payment_events e
   WHERE e.show_id = $1::uuid AND e.booking_id = $8::uuid AND e.refund_id IS NULL
     AND e.why IN ('given back at the gateway: ' || $4::text, 'taken back by the gateway: ' || $4::text)),
news AS (
  SELECT CASE WHEN s.given THEN 'succeeded' ELSE '' END AS was, CASE WHEN $7::boolean AND NOT s.given THEN 'failed' ELSE 'succeeded' END AS is_now,
         s.given
    FROM said s
   WHERE NOT s.known OR ($7::boolean AND s.given)),
-- one that failed before it was ever given has moved no money: nobody is told
counted AS (
  UPDATE payments p SET version = p.version + 1 FROM news n
   WHERE p.show_id = $1::uuid AND p.payment_id = $2::uuid AND n.is_now = 'succeeded'
  RETURNING p.payment_id, p.booking_id, p.version, p.attempt_no, n.given),
told AS (
  INSERT INTO outbox (show_id, outbox_id, topic, events)
  SELECT $1::uuid, $9::uuid, 'payment', json_build_array(json_build_object(
           'type', CASE WHEN c.given THEN 'payment.foreign_refund_reversed' ELSE 'payment.foreign_refund' END,
           'payment_id', c.payment_id, 'version', c.version, 'show_id', $1::uuid, 'booking_id', c.booking_id, 'attempt', c.attempt_no,
           'amount', json_build_object('amount', $5::bigint, 'currency', $6::text)))
    FROM counted c)
INSERT INTO payment_events (show_id, event_id, payment_id, booking_id, from_state, to_state, amount_minor, currency, actor, why)
SELECT $1::uuid, $3::uuid, $2::uuid, $8::uuid, n.was, n.is_now, $5::bigint, $6::text, 'webhook',
       CASE WHEN n.given THEN 'taken back by the gateway: ' ELSE 'given back at the gateway: ' END || $4::text
  FROM news n
