-- blocked -> free; seats that are not blocked are left as they are. Locks the rows ascending.
WITH held AS (
  SELECT s.seat_no FROM show_seats s
   WHERE s.show_id = $1::uuid AND s.seat_no = ANY ($2::int[]) AND s.state = 3 ORDER BY s.seat_no FOR NO KEY UPDATE),
changed AS (
  UPDATE show_seats s SET state = 0, fence = s.fence + 1
   WHERE s.show_id = $1::uuid AND s.seat_no IN (SELECT h.seat_no FROM held h) AND s.state = 3
  RETURNING s.seat_no, s.fence),
told AS (
  INSERT INTO outbox (show_id, outbox_id, topic, events)
  SELECT $1::uuid, $3::uuid, 'seat', json_build_array(json_build_object('type', 'seat.unblocked',
           'seats', json_object_agg(c.seat_no, c.fence)))
    FROM changed c HAVING count(*) > 0)
SELECT NULL::int[] AS refused,
       (SELECT array_agg(c.seat_no ORDER BY c.seat_no) FROM changed c) AS seats,
       (SELECT array_agg(c.fence ORDER BY c.seat_no) FROM changed c) AS fences
