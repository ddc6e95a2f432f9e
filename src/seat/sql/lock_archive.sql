-- Ended locks of a show move to the history; seats that a take-over left with one are free. Waits for nobody.
WITH gone AS (
  SELECT l.lock_id, l.seats FROM seat_locks l
   WHERE l.show_id = $1::uuid AND l.lock_id = ANY ($2::uuid[]) AND l.state NOT IN ('active', 'paying')
   ORDER BY l.lock_id FOR NO KEY UPDATE SKIP LOCKED),
held AS (
  SELECT s.seat_no, s.lock_id FROM show_seats s
   WHERE s.show_id = $1::uuid AND s.seat_no IN (SELECT unnest(g.seats) FROM gone g)
     AND s.lock_id IN (SELECT g.lock_id FROM gone g) AND s.state = 1
   ORDER BY s.seat_no FOR NO KEY UPDATE SKIP LOCKED),
freed AS (
  UPDATE show_seats s SET state = 0, lock_id = '00000000-0000-0000-0000-000000000000', expires_at = '-infinity',
         fence = s.fence + 1
    FROM held h WHERE s.show_id = $1::uuid AND s.seat_no = h.seat_no
  RETURNING s.seat_no, s.fence, h.lock_id),
told AS (
  INSERT INTO outbox (show_id, outbox_id, topic, events)
  SELECT $1::uuid, $3::uuid, 'seat', json_agg(e.j) FROM (
    SELECT json_build_object('type', 'seat.released', 'show_id', $1::uuid, 'lock_id', f.lock_id, 'reason', 'left_over',
             'seats', json_object_agg(f.seat_no, f.fence)) AS j
      FROM freed f GROUP BY f.lock_id) e
   HAVING count(*) > 0),
-- a lock whose seat could not be had stays for the next round
moved AS (
  DELETE FROM seat_locks l USING gone g
   WHERE l.show_id = $1::uuid AND l.lock_id = g.lock_id
     AND NOT EXISTS (SELECT 1 FROM show_seats s WHERE s.show_id = $1::uuid AND s.seat_no = ANY (g.seats)
                      AND s.lock_id = g.lock_id AND s.state = 1 AND s.seat_no NOT IN (SELECT h.seat_no FROM held h))
  RETURNING l.*),
kept AS (
  INSERT INTO seat_lock_history SELECT m.* FROM moved m RETURNING lock_id),
-- who wanted to be told, and let the time pass, hears so here: every lock that ended comes by once, whoever ended it. Not who tried to
-- pay (the payment's event tells), and not long after.
notified AS (
  INSERT INTO notifications (notification_id, organizer_id, kind, show_id, booking_id, buyer_id, cause_id)
  SELECT gen_random_uuid(), y.organizer_id, 'lock_ended', $1::uuid, '00000000-0000-0000-0000-000000000000', m.notify_buyer, m.lock_id
    FROM moved m
   CROSS JOIN LATERAL (SELECT b.organizer_id FROM buyers b WHERE b.buyer_id = m.notify_buyer AND b.email <> '' AND b.erased_at IS NULL
                        LIMIT 1) y
   WHERE m.state = 'expired' AND m.notify_buyer <> '00000000-0000-0000-0000-000000000000'
     AND m.expires_at > statement_timestamp() - interval '15 minutes'
     AND (SELECT count(*) FROM bookings b WHERE b.show_id = $1::uuid AND b.lock_id = m.lock_id) = 0
  ON CONFLICT DO NOTHING)
SELECT (SELECT count(*) FROM kept) AS n,
       (SELECT array_agg(f.seat_no ORDER BY f.seat_no) FROM freed f) AS seats,
       (SELECT array_agg(f.fence ORDER BY f.seat_no) FROM freed f) AS fences,
       (SELECT array_agg(f.lock_id ORDER BY f.seat_no) FROM freed f) AS seat_locks
