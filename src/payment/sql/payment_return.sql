-- The buyer is back from the bank's page: the token of the attempt counts once, and until its bound. Whoever asks next may ask the
-- gateway at once, unless somebody is at it. Says what was true before. Locks the payment's row.
WITH used AS (
  UPDATE payments p SET return_used = true,
         ask_after = CASE WHEN p.ask_after <= statement_timestamp() + interval '1 second' THEN statement_timestamp() ELSE p.ask_after END
   WHERE p.show_id = $1::uuid AND p.payment_id = $2::uuid AND p.booking_id = $3::uuid AND NOT p.return_used
     AND p.action_until > statement_timestamp()
  RETURNING p.payment_id)
SELECT p.return_used, p.action_until > statement_timestamp() AS in_time, (SELECT count(*) FROM used) AS used
  FROM payments p
 WHERE p.show_id = $1::uuid AND p.payment_id = $2::uuid AND p.booking_id = $3::uuid
