-- free (or blocked already) -> blocked, all of them or none; why ($5) is kept, the last reason that was given. Numbered by plan $4: if
-- the show has another by now the statement fails, at its end (show_plans_hold), and nothing of it is kept. Locks the rows ascending.
WITH held AS (
  SELECT s.seat_no, s.state, s.expires_at FROM show_seats s
   WHERE s.show_id = $1::uuid AND s.seat_no = ANY ($2::int[]) ORDER BY s.seat_no FOR NO KEY UPDATE),
refused AS (
  SELECT h.seat_no FROM held h WHERE h.state IN (1, 2)),
changed AS (
  UPDATE show_seats s SET state = 3, fence = s.fence + 1
   WHERE s.show_id = $1::uuid AND s.seat_no IN (SELECT h.seat_no FROM held h) AND s.state = 0
     AND NOT EXISTS (SELECT 1 FROM refused)
  RETURNING s.seat_no, s.fence),
kept AS (
  INSERT INTO seat_blocks (show_id, seat_no, reason)
  SELECT $1::uuid, h.seat_no, $5::text FROM held h
   WHERE NOT EXISTS (SELECT 1 FROM refused) AND (h.state = 0 OR $5::text <> '')
  ON CONFLICT (show_id, seat_no) DO UPDATE SET reason = excluded.reason),
told AS (
  INSERT INTO outbox (show_id, outbox_id, topic, events)
  SELECT $1::uuid, $3::uuid, 'seat', json_build_array(json_build_object('type', 'seat.blocked', 'show_id', $1::uuid,
           'seats', json_object_agg(c.seat_no, c.fence)))
    FROM changed c HAVING count(*) > 0)
SELECT (SELECT array_agg(r.seat_no ORDER BY r.seat_no) FROM refused r) AS refused,
       (SELECT array_agg(c.seat_no ORDER BY c.seat_no) FROM changed c) AS seats,
       (SELECT array_agg(c.fence ORDER BY c.seat_no) FROM changed c) AS fences,
       show_plans_hold(ARRAY[$1::uuid], ARRAY[$4::uuid]) AS plans_hold
