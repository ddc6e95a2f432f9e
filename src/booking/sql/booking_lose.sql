-- confirmed -> cancelled because the payment was refused after all: its seats have no owner any more, nothing was paid,
-- nothing is given back. Locks the booking's row. No row: it was cancelled before; then no fee was kept either.
WITH cancelled_before AS (
  UPDATE bookings b SET fee_kept_minor = 0
   WHERE b.show_id = $1::uuid AND b.booking_id = $2::uuid AND b.state = 'cancelled' AND b.fee_kept_minor <> 0),
moved AS (
  UPDATE bookings b SET state = 'cancelled', reason = 'payment_lost', ended_at = statement_timestamp(), fee_kept_minor = 0,
         version = b.version + 1
   WHERE b.show_id = $1::uuid AND b.booking_id = $2::uuid AND b.state = 'confirmed'
  RETURNING b.booking_id, b.lock_id, b.version, b.reference, b.event_id, b.organizer_id, b.currency),
gone AS (
  UPDATE booking_seats s SET released_at = statement_timestamp()
    FROM moved m WHERE s.show_id = $1::uuid AND s.booking_id = m.booking_id
     AND coalesce(s.released_at, 'infinity') = 'infinity' -- (not IS NULL: that makes the index of live seats look like the key)
  RETURNING s.seat_no),
told AS (
  INSERT INTO outbox (show_id, outbox_id, topic, events)
  SELECT $1::uuid, $3::uuid, 'booking', json_build_array(json_build_object('type', 'booking.cancelled', 'booking_id', m.booking_id,
           'version', m.version, 'show_id', $1::uuid, 'event_id', m.event_id, 'organizer_id', m.organizer_id, 'reference', m.reference,
           'reason', 'payment_lost', 'refund', json_build_object('amount', 0, 'currency', m.currency),
           'fee', json_build_object('amount', 0, 'currency', m.currency),
           'seats', coalesce((SELECT json_agg(json_build_object('seat',
               (SELECT p.guid FROM plan_seats p WHERE p.plan_id = (SELECT s.plan_id FROM shows s WHERE s.show_id = $1::uuid) AND p.seat_no = g.seat_no),
               'seat_no', g.seat_no) ORDER BY g.seat_no) FROM gone g), '[]')))
    FROM moved m)
SELECT m.lock_id, (SELECT array_agg(g.seat_no ORDER BY g.seat_no) FROM gone g) AS seats FROM moved m
