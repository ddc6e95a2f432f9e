-- paying -> active after a proven decline (its clock was never stopped), or -> expired when that time has passed: then
-- the seats are free at once. Locks the lock's row, then its seats ascending.
WITH moved AS (
  UPDATE seat_locks l
     SET state = CASE WHEN l.expires_at > statement_timestamp() THEN 'active' ELSE 'expired' END,
         ended_at = CASE WHEN l.expires_at > statement_timestamp() THEN 'infinity' ELSE statement_timestamp() END
   WHERE l.show_id = $1::uuid AND l.lock_id = $2::uuid AND l.state = 'paying'
  RETURNING l.seats, l.state, l.expires_at, l.session_id),
held AS (
  SELECT s.seat_no FROM show_seats s
   WHERE s.show_id = $1::uuid AND s.seat_no = ANY ((SELECT m.seats FROM moved m)::int[]) AND s.lock_id = $2::uuid AND s.state = 1
   ORDER BY s.seat_no FOR NO KEY UPDATE),
given AS (
  UPDATE show_seats s
     SET state = CASE WHEN m.state = 'active' THEN 1 ELSE 0 END,
         lock_id = CASE WHEN m.state = 'active' THEN s.lock_id ELSE '00000000-0000-0000-0000-000000000000' END,
         expires_at = CASE WHEN m.state = 'active' THEN m.expires_at ELSE '-infinity' END,
         fence = s.fence + 1
    FROM moved m, held h
   WHERE s.show_id = $1::uuid AND s.seat_no = h.seat_no
  RETURNING s.seat_no, s.fence, s.state),
told AS (
  INSERT INTO outbox (show_id, outbox_id, topic, events)
  SELECT $1::uuid, $3::uuid, 'seat', json_build_array(
           CASE WHEN m.state = 'active'
                THEN json_build_object('type', 'seat.lock_resumed', 'show_id', $1::uuid, 'lock_id', $2::uuid, 'expires_at',
                       to_char(m.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'seats', k.seats)
                ELSE json_build_object('type', 'seat.lock_expired', 'show_id', $1::uuid, 'lock_id', $2::uuid, 'seats', k.seats) END)
    FROM moved m, (SELECT coalesce(json_object_agg(g.seat_no, g.fence), '{}') AS seats FROM given g) k)
SELECT m.state, m.expires_at, statement_timestamp() AS now, m.session_id,
       (SELECT array_agg(g.seat_no ORDER BY g.seat_no) FROM given g) AS seats,
       (SELECT array_agg(g.fence ORDER BY g.seat_no) FROM given g) AS fences
  FROM moved m
