-- An attempt for the one who made it and drives it now; no row when somebody has taken it over since. Reads only.
SELECT p.payment_id, p.booking_id, p.lock_id, p.state, p.generation, p.amount_minor, p.currency::text, p.method, p.return_url,
         p.intent_id, p.void_wanted, p.action_until, p.hold_until, statement_timestamp() AS now,
         EXISTS (SELECT 1 FROM payment_calls c WHERE c.show_id = $1::uuid AND c.payment_id = p.payment_id
                  AND c.step = 'confirm') AS confirm_called, p.settle_tries,
         b.seats, b.event_id, coalesce((SELECT e.max_per_payer FROM events e WHERE e.event_id = b.event_id), 0) AS max_per_payer,
         EXISTS (SELECT 1 FROM payment_calls c WHERE c.show_id = $1::uuid AND c.payment_id = p.payment_id
                  AND c.step = 'cancel') AS cancel_called
  FROM payments p
  LEFT JOIN LATERAL (SELECT k.seats, k.event_id FROM bookings k -- (OFFSET: found by its key, not joined over the show)
                      WHERE k.show_id = $1::uuid AND k.booking_id = p.booking_id OFFSET 0) b ON true
 WHERE p.show_id = $1::uuid AND p.payment_id = $2::uuid AND p.generation = 1
