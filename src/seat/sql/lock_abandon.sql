-- paying -> abandoned: its time is over whatever the payment does; the seats are free. Locks the lock's row, then its seats
-- ascending.
WITH moved AS (
  UPDATE seat_locks l SET state = 'abandoned', ended_at = statement_timestamp()
   WHERE l.show_id = $1::uuid AND l.lock_id = $2::uuid AND l.state = 'paying'
  RETURNING l.seats, l.session_id),
held AS (
  SELECT s.seat_no FROM show_seats s
   WHERE s.show_id = $1::uuid AND s.seat_no = ANY ((SELECT m.seats FROM moved m)::int[]) AND s.lock_id = $2::uuid AND s.state = 1
   ORDER BY s.seat_no FOR NO KEY UPDATE),
freed AS (
  UPDATE show_seats s SET state = 0, lock_id = '00000000-0000-0000-0000-000000000000', expires_at = '-infinity',
         fence = s.fence + 1
    FROM held h WHERE s.show_id = $1::uuid AND s.seat_no = h.seat_no
  RETURNING s.seat_no, s.fence),
told AS (
  INSERT INTO outbox (show_id, outbox_id, topic, events)
  SELECT $1::uuid, $3::uuid, 'seat', json_build_array(json_build_object('type', 'seat.lock_abandoned', 'show_id', $1::uuid, 'lock_id', $2::uuid,
           'seats', coalesce((SELECT json_object_agg(f.seat_no, f.fence) FROM freed f), '{}')))
    FROM moved m)
SELECT m.session_id, (SELECT array_agg(f.seat_no ORDER BY f.seat_no) FROM freed f) AS seats,
       (SELECT array_agg(f.fence ORDER BY f.seat_no) FROM freed f) AS fences
  FROM moved m
