-- payment_pending -> confirmed, its seats owned from now on. The caller compares placed with n and rolls back when they
-- differ: then a seat has an owner already, which is a bug somewhere, and the unique index has caught it. No row: it does not wait
-- for a payment, or the show was called off meanwhile (one that slips through is ended by the show's job: it was seen waiting).
-- Locks the booking's row; in the order of locks it comes after the payment, before the lock and its seats.
WITH moved AS (
  UPDATE bookings b SET state = 'confirmed', confirmed_at = statement_timestamp(), version = b.version + 1
    FROM (SELECT s.status, s.plan_id FROM shows s WHERE s.show_id = $1::uuid LIMIT 1) s
   WHERE b.show_id = $1::uuid AND b.booking_id = $2::uuid
     AND CASE WHEN b.state = 'payment_pending' THEN true END -- (in a CASE: else the index of pending bookings looks as good as the key)
     AND s.status = 'published'
  RETURNING b.booking_id, b.lock_id, b.seats, b.prices, b.version, b.reference, b.total_minor, b.currency, b.event_id, b.organizer_id,
            s.plan_id),
placed AS (
  INSERT INTO booking_seats (show_id, booking_id, seat_no, price_minor)
  SELECT $1::uuid, m.booking_id, u.seat_no, u.price_minor
    FROM moved m CROSS JOIN LATERAL unnest(m.seats, m.prices) AS u (seat_no, price_minor)
   ORDER BY u.seat_no
  ON CONFLICT DO NOTHING
  RETURNING seat_no),
told AS (
  INSERT INTO outbox (show_id, outbox_id, topic, events)
  SELECT $1::uuid, $3::uuid, 'booking', json_build_array(json_build_object('type', 'booking.confirmed', 'booking_id', m.booking_id,
           'version', m.version, 'show_id', $1::uuid, 'event_id', m.event_id, 'organizer_id', m.organizer_id, 'reference', m.reference,
           'lock_id', m.lock_id, 'total', json_build_object('amount', m.total_minor, 'currency', m.currency),
           'seats', (SELECT json_agg(json_build_object('seat',
               (SELECT p.guid FROM plan_seats p WHERE p.plan_id = m.plan_id AND p.seat_no = u.seat_no),
               'seat_no', u.seat_no, 'price', json_build_object('amount', u.price_minor, 'currency', m.currency)) ORDER BY u.seat_no)
             FROM unnest(m.seats, m.prices) AS u (seat_no, price_minor))))
    FROM moved m)
SELECT m.lock_id, cardinality(m.seats) AS n, (SELECT count(*) FROM placed) AS placed FROM moved m
