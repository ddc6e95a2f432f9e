-- active -> paying, for its owner and in time. From here on no clock, sweeper or take-over touches the seats. The caller
-- compares n with the number of seats and rolls back when they differ: then the seats are no longer this lock's.
-- Locks the lock's row, then its seats ascending. No row: see lock_get for why.
WITH moved AS (
  UPDATE seat_locks l SET state = 'paying'
   WHERE l.show_id = $1::uuid AND l.lock_id = $2::uuid AND l.session_id = $3::uuid AND l.state = 'active'
     AND l.expires_at > statement_timestamp()
  RETURNING l.seats, l.prices, l.categories, l.total_minor, l.currency, l.created_at, l.expires_at),
held AS (
  SELECT s.seat_no FROM show_seats s
   WHERE s.show_id = $1::uuid AND s.seat_no = ANY ((SELECT m.seats FROM moved m)::int[]) AND s.lock_id = $2::uuid AND s.state = 1
   ORDER BY s.seat_no FOR NO KEY UPDATE),
kept AS (
  UPDATE show_seats s SET expires_at = 'infinity', fence = s.fence + 1
    FROM held h WHERE s.show_id = $1::uuid AND s.seat_no = h.seat_no
  RETURNING s.seat_no, s.fence),
told AS (
  INSERT INTO outbox (show_id, outbox_id, topic, events)
  SELECT $1::uuid, $4::uuid, 'seat', json_build_array(json_build_object('type', 'seat.lock_paying', 'show_id', $1::uuid, 'lock_id', $2::uuid,
           'seats', json_object_agg(k.seat_no, k.fence)))
    FROM kept k HAVING count(*) > 0)
SELECT m.seats, m.prices, m.categories, m.total_minor, m.currency::text, m.created_at, m.expires_at,
       statement_timestamp() AS now, (SELECT count(*) FROM kept) AS n,
       (SELECT array_agg(k.fence ORDER BY k.seat_no) FROM kept k) AS fences
  FROM moved m
