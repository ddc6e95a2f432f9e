-- Whose is this intent? Reads only, over all shows: an event of the gateway names none.
SELECT p.show_id, p.payment_id, p.booking_id, p.state FROM payments p WHERE p.intent_id = $1::text AND p.intent_id <> '' LIMIT 1
