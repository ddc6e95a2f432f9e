-- paying -> booked: the seats become the booking's. The caller compares n with the number of seats and rolls back when
-- they differ. Locks the lock's row, then its seats ascending.
WITH moved AS (
  UPDATE seat_locks l SET state = 'booked', ended_at = statement_timestamp()
   WHERE l.show_id = $1::uuid AND l.lock_id = $2::uuid AND l.state = 'paying'
  RETURNING l.seats, l.session_id),
held AS (
  SELECT s.seat_no FROM show_seats s
   WHERE s.show_id = $1::uuid AND s.seat_no = ANY ((SELECT m.seats FROM moved m)::int[]) AND s.lock_id = $2::uuid AND s.state = 1
   ORDER BY s.seat_no FOR NO KEY UPDATE),
taken AS (
  UPDATE show_seats s SET state = 2, expires_at = 'infinity', fence = s.fence + 1
    FROM held h WHERE s.show_id = $1::uuid AND s.seat_no = h.seat_no
  RETURNING s.seat_no, s.fence),
told AS (
  INSERT INTO outbox (show_id, outbox_id, topic, events)
  SELECT $1::uuid, $3::uuid, 'seat', json_build_array(json_build_object('type', 'seat.booked', 'show_id', $1::uuid, 'lock_id', $2::uuid,
           'seats', json_object_agg(t.seat_no, t.fence)))
    FROM taken t HAVING count(*) > 0)
SELECT m.seats, m.session_id, (SELECT count(*) FROM taken) AS n,
       (SELECT array_agg(t.fence ORDER BY t.seat_no) FROM taken t) AS fences
  FROM moved m
