-- All that has to be known before a lock is paid, always one row. Reads only.
--   $2 the lock, of session $3: alive or ended;  $4 the request's id: the last attempt it asked for, the booking it made;
--   the booking of the lock, whoever asked for it
SELECT l.state AS lock_state, l.total_minor, l.currency, cardinality(l.seats) AS n_seats, l.expires_at,
       statement_timestamp() AS now, p.booking_id AS asked_booking, p.payment_id, p.state AS payment_state, p.failure,
       p.request_hash AS payment_hash, b.booking_id, b.request_hash AS booking_hash, b.total_minor AS booking_total,
       e.booking_id AS lock_booking, e.state AS lock_booking_state,
       p.decline_code, p.ask_after > statement_timestamp() AS in_flight, l.seats
  FROM (SELECT 1) AS one
  LEFT JOIN LATERAL (
    SELECT a.state, a.total_minor, a.currency::text AS currency, a.seats, a.expires_at FROM seat_locks a
     WHERE a.show_id = $1::uuid AND a.lock_id = $2::uuid AND a.session_id = $3::uuid
    UNION ALL
    SELECT h.state, h.total_minor, h.currency::text AS currency, h.seats, h.expires_at FROM seat_lock_history h
     WHERE h.show_id = $1::uuid AND h.lock_id = $2::uuid AND h.session_id = $3::uuid
    LIMIT 1) l ON true
  LEFT JOIN LATERAL (
    SELECT y.booking_id, y.payment_id, y.state, y.failure, y.request_hash, y.decline_code, y.ask_after FROM payments y
     WHERE y.show_id = $1::uuid AND y.request_id = $4::uuid
     ORDER BY y.attempt_no DESC LIMIT 1) p ON true
  LEFT JOIN bookings b ON b.show_id = $1::uuid AND b.booking_id = $4::uuid
  LEFT JOIN bookings e ON e.show_id = $1::uuid AND e.lock_id = $2::uuid AND e.session_id = $3::uuid
