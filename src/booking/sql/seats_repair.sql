-- Whatever else is true, a seat with a live booking row is booked. Answers what had to be put right, and tells it: what was told of
-- these seats before was wrong. Locks the seats ascending.
WITH owned AS (
  SELECT s.seat_no, b.lock_id FROM show_seats s
    JOIN booking_seats x ON x.show_id = $1::uuid AND x.seat_no = s.seat_no AND x.released_at IS NULL
    JOIN bookings b ON b.show_id = $1::uuid AND b.booking_id = x.booking_id
   WHERE s.show_id = $1::uuid AND s.seat_no = ANY ($2::int[]) AND s.state <> 2
   ORDER BY s.seat_no FOR NO KEY UPDATE OF s),
put AS (
  UPDATE show_seats s SET state = 2, lock_id = o.lock_id, expires_at = 'infinity', fence = s.fence + 1
    FROM owned o WHERE s.show_id = $1::uuid AND s.seat_no = o.seat_no
  RETURNING s.seat_no, s.fence, s.lock_id),
told AS (
  INSERT INTO outbox (show_id, outbox_id, topic, events)
  SELECT $1::uuid, $3::uuid, 'seat', json_agg(e.j) FROM (
    SELECT json_build_object('type', 'seat.booked', 'show_id', $1::uuid, 'lock_id', p.lock_id, 'seats', json_object_agg(p.seat_no, p.fence)) AS j
      FROM put p GROUP BY p.lock_id) e
   HAVING count(*) > 0)
SELECT (SELECT array_agg(p.seat_no ORDER BY p.seat_no) FROM put p) AS seats,
       (SELECT array_agg(p.fence ORDER BY p.seat_no) FROM put p) AS fences
