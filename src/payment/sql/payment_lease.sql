-- Takes an attempt over: its generation is raised, so that whoever was at it finds nothing to do with its next step. By the
-- settling duty when its time has come; by one who was asked about it ($4) when it may be looked at and is not through.
UPDATE payments p
   SET generation = p.generation + 1, settle_tries = p.settle_tries + 1, settle_at = statement_timestamp() + $3::interval,
       ask_after = statement_timestamp() + $3::interval
 WHERE p.show_id = $1::uuid AND p.payment_id = $2::uuid
   AND CASE WHEN $4::boolean THEN p.ask_after <= statement_timestamp() AND p.state IN ('created', 'requires_action', 'authorised')
            ELSE p.settle_at <= statement_timestamp() END
RETURNING p.payment_id, p.booking_id, p.lock_id, p.state, p.generation, p.amount_minor, p.currency::text, p.method, p.return_url,
         p.intent_id, p.void_wanted, p.action_until, p.hold_until, statement_timestamp() AS now,
         EXISTS (SELECT 1 FROM payment_calls c WHERE c.show_id = $1::uuid AND c.payment_id = p.payment_id
                  AND c.step = 'confirm') AS confirm_called, p.settle_tries,
         (SELECT b.seats FROM bookings b WHERE b.show_id = $1::uuid AND b.booking_id = p.booking_id) AS seats,
         (SELECT b.event_id FROM bookings b WHERE b.show_id = $1::uuid AND b.booking_id = p.booking_id) AS event_id,
         coalesce((SELECT e.max_per_payer FROM bookings b JOIN events e ON e.event_id = b.event_id
                    WHERE b.show_id = $1::uuid AND b.booking_id = p.booking_id), 0) AS max_per_payer,
         EXISTS (SELECT 1 FROM payment_calls c WHERE c.show_id = $1::uuid AND c.payment_id = p.payment_id
                  AND c.step = 'cancel') AS cancel_called
