-- Nothing of an ended attempt is left to be done here, because ($7) the gateway knows that it is void, or a person has to go on.
WITH done AS (
  UPDATE payments p SET void_wanted = false, settle_at = 'infinity', settle_tries = 0
   WHERE p.show_id = $1::uuid AND p.payment_id = $2::uuid AND p.generation = $3::int AND p.void_wanted
  RETURNING p.payment_id, p.booking_id, p.state, p.amount_minor, p.currency)
INSERT INTO payment_events (show_id, event_id, payment_id, booking_id, from_state, to_state, amount_minor, currency, actor, why,
                            gateway_request_id)
SELECT $1::uuid, $4::uuid, d.payment_id, d.booking_id, d.state, d.state, d.amount_minor, d.currency, $5::text,
       $7::text, $6::text
  FROM done d
