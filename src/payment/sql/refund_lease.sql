-- Takes a refund that is not through and whose time has come; until $3 from now it is the taker's. At most one call of a
-- payment is under way: payments.ask_after says until when, so a refund that would be sent while another one is finds nothing
-- to do and is due again in a second. One that makes no call (its payment is not captured yet, or was not) need not wait for
-- that, and leaves the payment to its own drive. Locks the payment's row, then the refund's.
WITH paid AS (
  SELECT p.payment_id, p.state, p.intent_id, p.ask_after <= statement_timestamp() AS idle
    FROM payments p
   WHERE p.show_id = $1::uuid
     AND p.payment_id = (SELECT f.payment_id FROM refunds f WHERE f.show_id = $1::uuid AND f.refund_id = $2::uuid)
     FOR NO KEY UPDATE),
taken AS (
  UPDATE refunds r
     SET settle_at = statement_timestamp()
           + CASE WHEN p.idle OR (p.state <> 'captured' AND r.kind <> 'void') THEN $3::interval ELSE interval '1 second' END,
         settle_tries = r.settle_tries + CASE WHEN p.idle OR (p.state <> 'captured' AND r.kind <> 'void') THEN 1 ELSE 0 END
    FROM paid p
   WHERE r.show_id = $1::uuid AND r.refund_id = $2::uuid AND r.state IN ('requested', 'pending')
     AND r.settle_at <= statement_timestamp()
  RETURNING r.payment_id, r.booking_id, r.state, r.amount_minor, r.currency, r.settle_tries, r.gateway_id, r.kind,
            p.state AS paid, p.intent_id, p.idle, p.state <> 'captured' AND r.kind <> 'void' AS silent),
held AS (
  UPDATE payments p SET ask_after = statement_timestamp() + $3::interval
   WHERE p.show_id = $1::uuid AND p.payment_id = (SELECT t.payment_id FROM taken t WHERE t.idle AND NOT t.silent))
SELECT t.payment_id, t.booking_id, t.state, t.amount_minor, t.currency::text, t.settle_tries, t.paid, t.intent_id,
       EXISTS (SELECT 1 FROM payment_calls c WHERE c.show_id = $1::uuid AND c.payment_id = t.payment_id
                AND c.step = 'refund' AND c.subject_id = $2::uuid) AS called, t.gateway_id, t.kind,
       CASE WHEN t.silent THEN '-infinity' ELSE statement_timestamp() + $3::interval END AS held_until
  FROM taken t
 WHERE t.silent OR t.idle
