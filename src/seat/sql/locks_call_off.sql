-- active -> released for the locks of a show that was called off, at most $2 at a time; their seats are free. A lock that somebody
-- else has just now (it is being paid or ended) is left for the next round. Locks the locks' rows, then their seats ascending.
WITH due AS (
  SELECT l.lock_id, l.seats, l.session_id FROM seat_locks l
   WHERE l.show_id = $1::uuid AND l.state = 'active'
   ORDER BY l.lock_id LIMIT $2::int FOR NO KEY UPDATE SKIP LOCKED),
ended AS (
  UPDATE seat_locks l SET state = 'released', ended_at = statement_timestamp()
    FROM due d WHERE l.show_id = $1::uuid AND l.lock_id = d.lock_id AND l.state = 'active'
  RETURNING l.lock_id),
held AS (
  SELECT s.seat_no, s.lock_id FROM show_seats s
   WHERE s.show_id = $1::uuid AND s.seat_no IN (SELECT unnest(d.seats) FROM due d)
     AND s.lock_id IN (SELECT d.lock_id FROM due d) AND s.state = 1
   ORDER BY s.seat_no FOR NO KEY UPDATE),
freed AS (
  UPDATE show_seats s SET state = 0, lock_id = '00000000-0000-0000-0000-000000000000', expires_at = '-infinity',
         fence = s.fence + 1
    FROM held h WHERE s.show_id = $1::uuid AND s.seat_no = h.seat_no
  RETURNING s.seat_no, s.fence, h.lock_id),
told AS (
  INSERT INTO outbox (show_id, outbox_id, topic, events)
  SELECT $1::uuid, $3::uuid, 'seat', json_agg(e.j) FROM (
    SELECT json_build_object('type', 'seat.released', 'show_id', $1::uuid, 'lock_id', d.lock_id, 'reason', 'show_cancelled', 'seats',
             coalesce((SELECT json_object_agg(f.seat_no, f.fence) FROM freed f WHERE f.lock_id = d.lock_id), '{}'::json)) AS j
      FROM due d WHERE d.lock_id IN (SELECT e.lock_id FROM ended e)) e
   HAVING count(*) > 0)
SELECT (SELECT array_agg(d.lock_id ORDER BY d.lock_id) FROM due d WHERE d.lock_id IN (SELECT e.lock_id FROM ended e)) AS locks,
       (SELECT array_agg(d.session_id ORDER BY d.lock_id) FROM due d WHERE d.lock_id IN (SELECT e.lock_id FROM ended e)) AS sessions,
       (SELECT array_agg(f.seat_no ORDER BY f.seat_no) FROM freed f) AS seats,
       (SELECT array_agg(f.fence ORDER BY f.seat_no) FROM freed f) AS fences,
       (SELECT array_agg(f.lock_id ORDER BY f.seat_no) FROM freed f) AS seat_locks
