-- (nothing) -> payment_pending, from a lock that is being paid; or the same booking again for a further attempt, with the
-- buyer as named now. After lock_pay, in the same transaction. No row: the id is taken, the lock's booking is another or does
-- not wait any more, or the show was called off: that is decided on the show's row, locked as the foreign key locks it anyway, so
-- that whoever called it off can wait for all bookings that were being made (show_job_alone).
WITH made AS (
  INSERT INTO bookings AS b (show_id, booking_id, organizer_id, event_id, lock_id, session_id, buyer_id, reference, state, seats,
                             prices, categories, total_minor, currency, request_hash)
  SELECT $1::uuid, $2::uuid, s.organizer_id, s.event_id, l.lock_id, l.session_id, $5::uuid, $6::text, 'payment_pending', l.seats,
         l.prices, l.categories, l.total_minor, l.currency, $7::bytea
    FROM seat_locks l
    JOIN shows s ON s.show_id = $1::uuid AND s.status = 'published'
   WHERE l.show_id = $1::uuid AND l.lock_id = $3::uuid AND l.session_id = $4::uuid AND l.state = 'paying'
     FOR KEY SHARE OF s
  ON CONFLICT (show_id, lock_id) DO UPDATE SET buyer_id = EXCLUDED.buyer_id, version = b.version + 1
     WHERE b.booking_id = EXCLUDED.booking_id AND b.state = 'payment_pending'
  RETURNING b.booking_id, b.version, b.lock_id, b.reference, b.event_id, b.organizer_id, b.total_minor, b.currency),
told AS (
  INSERT INTO outbox (show_id, outbox_id, topic, events)
  SELECT $1::uuid, $8::uuid, 'booking', json_build_array(json_build_object('type', 'booking.payment_pending',
           'booking_id', m.booking_id, 'version', m.version, 'show_id', $1::uuid, 'event_id', m.event_id, 'organizer_id', m.organizer_id,
           'reference', m.reference, 'lock_id', m.lock_id,
           'total', json_build_object('amount', m.total_minor, 'currency', m.currency)))
    FROM made m)
SELECT m.booking_id FROM made m
