-- Whose is this intent? late: its money was taken although the attempt had ended, and is given back. Reads only, over all shows:
-- an event of the gateway names none.
SELECT p.show_id, p.payment_id, p.booking_id, p.state,
       (SELECT count(*) FROM refunds r WHERE r.booking_id = p.booking_id AND r.show_id = p.show_id AND r.payment_id = p.payment_id
           AND r.kind = 'void') > 0 AS late
  FROM payments p
 WHERE p.intent_id = $1::text AND p.intent_id <> '' LIMIT 1
