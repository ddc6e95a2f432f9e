-- I1: a seat has at most one owner, and all tables agree who that is.
SELECT x.show_id, 'seat ' || x.seat_no || ' belongs to ' || count(*) || ' bookings: '
       || string_agg(b.reference, ', ' ORDER BY b.reference) AS fault
  FROM booking_seats x JOIN bookings b ON b.show_id = x.show_id AND b.booking_id = x.booking_id
 WHERE x.released_at IS NULL
 GROUP BY x.show_id, x.seat_no HAVING count(*) > 1
UNION ALL
SELECT x.show_id, 'seat ' || x.seat_no || ' belongs to booking ' || b.reference || ', which is ' || b.state
  FROM booking_seats x JOIN bookings b ON b.show_id = x.show_id AND b.booking_id = x.booking_id
 WHERE x.released_at IS NULL AND b.state <> 'confirmed'
UNION ALL
SELECT x.show_id, 'seat ' || x.seat_no || ' belongs to booking ' || b.reference || ' but the show has it as '
       || CASE s.state WHEN 0 THEN 'free' WHEN 1 THEN 'locked' WHEN 2 THEN 'booked by another lock' WHEN 3 THEN 'blocked' ELSE 'missing' END
  FROM booking_seats x JOIN bookings b ON b.show_id = x.show_id AND b.booking_id = x.booking_id
  LEFT JOIN show_seats s ON s.show_id = x.show_id AND s.seat_no = x.seat_no
 WHERE x.released_at IS NULL AND (s.state IS DISTINCT FROM 2 OR s.lock_id <> b.lock_id)
UNION ALL
SELECT s.show_id, 'seat ' || s.seat_no || ' is booked but no booking has it'
  FROM show_seats s
 WHERE s.state = 2
   AND NOT EXISTS (SELECT 1 FROM booking_seats x WHERE x.show_id = s.show_id AND x.seat_no = s.seat_no AND x.released_at IS NULL)
UNION ALL
SELECT s.show_id, 'seat ' || s.seat_no || ' is held by lock ' || s.lock_id || ', which is ' || coalesce(l.state, 'not there')
  FROM show_seats s LEFT JOIN seat_locks l ON l.show_id = s.show_id AND l.lock_id = s.lock_id
 WHERE s.state = 1 AND s.expires_at > transaction_timestamp()
   AND NOT (l.state IN ('active', 'paying') AND s.seat_no = ANY (l.seats)) IS TRUE
UNION ALL
SELECT l.show_id, 'lock ' || l.lock_id || ' is ' || l.state || ' without its seat ' || w.seat_no
  FROM seat_locks l CROSS JOIN LATERAL unnest(l.seats) AS w (seat_no)
  LEFT JOIN show_seats s ON s.show_id = l.show_id AND s.seat_no = w.seat_no
 WHERE (l.state = 'paying' OR (l.state = 'active' AND l.expires_at > transaction_timestamp()))
   AND (s.state IS DISTINCT FROM 1 OR s.lock_id <> l.lock_id OR (l.state = 'paying' AND s.expires_at <> 'infinity'))
 ORDER BY 1, 2
