-- blocked (or free already) -> free, all of them or none: seats that are held or sold are no blocks to lift. Numbered by
-- plan $4, as in seats_block. Locks the rows ascending.
WITH held AS (
  SELECT s.seat_no, s.state FROM show_seats s
   WHERE s.show_id = $1::uuid AND s.seat_no = ANY ($2::int[]) ORDER BY s.seat_no FOR NO KEY UPDATE),
refused AS (
  SELECT h.seat_no FROM held h WHERE h.state IN (1, 2)),
changed AS (
  UPDATE show_seats s SET state = 0, fence = s.fence + 1
   WHERE s.show_id = $1::uuid AND s.seat_no IN (SELECT h.seat_no FROM held h) AND s.state = 3
     AND NOT EXISTS (SELECT 1 FROM refused)
  RETURNING s.seat_no, s.fence),
forgotten AS (
  DELETE FROM seat_blocks b USING changed c WHERE b.show_id = $1::uuid AND b.seat_no = c.seat_no),
told AS (
  INSERT INTO outbox (show_id, outbox_id, topic, events)
  SELECT $1::uuid, $3::uuid, 'seat', json_build_array(json_build_object('type', 'seat.unblocked', 'show_id', $1::uuid,
           'seats', json_object_agg(c.seat_no, c.fence)))
    FROM changed c HAVING count(*) > 0)
SELECT (SELECT array_agg(r.seat_no ORDER BY r.seat_no) FROM refused r) AS refused,
       (SELECT array_agg(c.seat_no ORDER BY c.seat_no) FROM changed c) AS seats,
       (SELECT array_agg(c.fence ORDER BY c.seat_no) FROM changed c) AS fences,
       show_plans_hold(ARRAY[$1::uuid], ARRAY[$4::uuid]) AS plans_hold
