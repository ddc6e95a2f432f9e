-- An attempt for the one who made it and drives it now. Reads only.
SELECT p.payment_id, p.booking_id, p.lock_id, p.state, p.generation, p.amount_minor, p.currency::text, p.method, p.return_url,
         p.intent_id, p.void_wanted, p.action_until, p.hold_until, statement_timestamp() AS now,
         EXISTS (SELECT 1 FROM payment_calls c WHERE c.show_id = $1::uuid AND c.payment_id = p.payment_id
                  AND c.step = 'confirm') AS confirm_called, p.settle_tries,
         (SELECT b.seats FROM bookings b WHERE b.show_id = $1::uuid AND b.booking_id = p.booking_id) AS seats,
         (SELECT b.event_id FROM bookings b WHERE b.show_id = $1::uuid AND b.booking_id = p.booking_id) AS event_id,
         coalesce((SELECT e.max_per_payer FROM bookings b JOIN events e ON e.event_id = b.event_id
                    WHERE b.show_id = $1::uuid AND b.booking_id = p.booking_id), 0) AS max_per_payer
  FROM payments p
 WHERE p.show_id = $1::uuid AND p.payment_id = $2::uuid
