-- booked -> free for seats of an ended booking ($3: the lock that became it). The caller has set booking_seats.released_at
-- in the same transaction. Locks the seats ascending.
WITH held AS (
  SELECT s.seat_no FROM show_seats s
   WHERE s.show_id = $1::uuid AND s.seat_no = ANY ($2::int[]) AND s.lock_id = $3::uuid AND s.state = 2
   ORDER BY s.seat_no FOR NO KEY UPDATE),
freed AS (
  UPDATE show_seats s SET state = 0, lock_id = '00000000-0000-0000-0000-000000000000', expires_at = '-infinity',
         fence = s.fence + 1
   WHERE s.show_id = $1::uuid AND s.seat_no IN (SELECT h.seat_no FROM held h) AND s.state = 2
  RETURNING s.seat_no, s.fence),
told AS (
  INSERT INTO outbox (show_id, outbox_id, topic, events)
  SELECT $1::uuid, $4::uuid, 'seat', json_build_array(json_build_object('type', 'seat.released', 'show_id', $1::uuid, 'lock_id', $3::uuid,
           'reason', 'booking_ended', 'seats', json_object_agg(f.seat_no, f.fence)))
    FROM freed f HAVING count(*) > 0)
SELECT (SELECT array_agg(f.seat_no ORDER BY f.seat_no) FROM freed f) AS seats,
       (SELECT array_agg(f.fence ORDER BY f.seat_no) FROM freed f) AS fences
