-- confirmed -> cancelled when these are its last seats; else it stays confirmed with those that remain. Its seats have no
-- owner any more. $4 seats ascending, $5 what is given back for each, $6 what is kept of the fee, $7 why. The caller has
-- locked the booking (booking_hold), compares n with the number of seats and rolls back when they differ.
WITH gone AS (
  UPDATE booking_seats s
     SET released_at = statement_timestamp(), refund_minor = ($5::bigint[])[array_position($4::int[], s.seat_no)]
   WHERE s.show_id = $1::uuid AND s.booking_id = $2::uuid AND s.seat_no = ANY ($4::int[])
     AND coalesce(s.released_at, 'infinity') = 'infinity' -- in this form it does not ask the index over the show's live seats
  RETURNING s.seat_no),
lasts AS (
  SELECT count(*) FILTER (WHERE s.released_at IS NULL) = cardinality($4::int[]) AS yes FROM booking_seats s
   WHERE s.show_id = $1::uuid AND s.booking_id = $2::uuid),
moved AS (
  UPDATE bookings b
     SET state = CASE WHEN l.yes THEN 'cancelled' ELSE b.state END, reason = CASE WHEN l.yes THEN $7::text ELSE b.reason END,
         ended_at = CASE WHEN l.yes THEN statement_timestamp() ELSE b.ended_at END,
         fee_kept_minor = b.fee_kept_minor + $6::bigint, version = b.version + 1
    FROM lasts l
   WHERE b.show_id = $1::uuid AND b.booking_id = $2::uuid AND b.state = 'confirmed'
  RETURNING b.booking_id, b.version, b.state, b.reference, b.lock_id, b.event_id, b.organizer_id, b.currency),
told AS (
  INSERT INTO outbox (show_id, outbox_id, topic, events)
  SELECT $1::uuid, $3::uuid, 'booking', json_build_array(json_build_object(
           'type', CASE WHEN m.state = 'cancelled' THEN 'booking.cancelled' ELSE 'booking.seats_cancelled' END,
           'booking_id', m.booking_id, 'version', m.version, 'show_id', $1::uuid, 'event_id', m.event_id, 'organizer_id', m.organizer_id,
           'reference', m.reference, 'reason', $7::text,
           'refund', json_build_object('amount', (SELECT coalesce(sum(r), 0) FROM unnest($5::bigint[]) r), 'currency', m.currency),
           'fee', json_build_object('amount', $6::bigint, 'currency', m.currency),
           'seats', (SELECT json_agg(json_build_object('seat',
               (SELECT p.guid FROM plan_seats p WHERE p.plan_id = (SELECT s.plan_id FROM shows s WHERE s.show_id = $1::uuid) AND p.seat_no = u), 'seat_no', u) ORDER BY u)
             FROM unnest($4::int[]) u)))
    FROM moved m)
SELECT m.state, (SELECT count(*) FROM gone) AS n FROM moved m
