-- A lock as its owner's stream begins with it; alive or ended. $3: the session it must belong to. The booking that came of it, if
-- one did, and whether the show was called off. Reads only.
SELECT l.state, l.expires_at, statement_timestamp() AS now,
       b.booking_id, b.reference, b.state AS booking_state, (SELECT s.status = 'cancelled' FROM shows s WHERE s.show_id = $1::uuid) AS show_off
  FROM (SELECT a.state, a.expires_at, a.session_id FROM seat_locks a WHERE a.show_id = $1::uuid AND a.lock_id = $2::uuid
        UNION ALL
        SELECT h.state, h.expires_at, h.session_id FROM seat_lock_history h WHERE h.show_id = $1::uuid AND h.lock_id = $2::uuid) l
  LEFT JOIN LATERAL (SELECT k.booking_id, k.reference, k.state FROM bookings k
                      WHERE k.show_id = $1::uuid AND k.lock_id = $2::uuid AND l.state = 'booked' LIMIT 1) b ON true
 WHERE l.session_id = $3::uuid
 LIMIT 1
