-- active -> released, by its owner; also when its time has passed and nobody has swept it yet (it is the owner's wish).
-- Locks the lock's row, then its seats ascending. Answers the state it found and what became free.
WITH old AS (
  SELECT l.state, l.seats, l.session_id FROM seat_locks l
   WHERE l.show_id = $1::uuid AND l.lock_id = $2::uuid AND l.session_id = $3::uuid
     FOR NO KEY UPDATE),
ended AS (
  UPDATE seat_locks l SET state = 'released', ended_at = statement_timestamp()
    FROM old WHERE l.show_id = $1::uuid AND l.lock_id = $2::uuid AND l.state = 'active'
  RETURNING l.seats),
held AS (
  SELECT s.seat_no FROM show_seats s
   WHERE s.show_id = $1::uuid AND s.seat_no = ANY ((SELECT e.seats FROM ended e)::int[]) AND s.lock_id = $2::uuid AND s.state = 1
   ORDER BY s.seat_no FOR NO KEY UPDATE),
freed AS (
  UPDATE show_seats s SET state = 0, lock_id = '00000000-0000-0000-0000-000000000000', expires_at = '-infinity',
         fence = s.fence + 1
    FROM held h WHERE s.show_id = $1::uuid AND s.seat_no = h.seat_no
  RETURNING s.seat_no, s.fence),
told AS (
  INSERT INTO outbox (show_id, outbox_id, topic, events)
  SELECT $1::uuid, $4::uuid, 'seat', json_build_array(json_build_object('type', 'seat.released', 'show_id', $1::uuid, 'lock_id', $2::uuid,
           'reason', 'given_up', 'seats', coalesce((SELECT json_object_agg(f.seat_no, f.fence) FROM freed f), '{}')))
    FROM ended e)
SELECT coalesce((SELECT o.state FROM old o), (SELECT h.state FROM seat_lock_history h
                   WHERE h.show_id = $1::uuid AND h.lock_id = $2::uuid AND h.session_id = $3::uuid LIMIT 1)) AS state,
       (SELECT array_agg(f.seat_no ORDER BY f.seat_no) FROM freed f) AS seats,
       (SELECT array_agg(f.fence ORDER BY f.seat_no) FROM freed f) AS fences
