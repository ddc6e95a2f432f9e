-- I7: a show's seats as Redis should have them: those not free. A lock whose time is over holds nothing.
SELECT s.seat_no, s.state, s.fence, replace(s.lock_id::text, '-', '') AS lock
  FROM show_seats s
 WHERE s.show_id = $1::uuid AND s.state <> 0 AND (s.state <> 1 OR s.expires_at > statement_timestamp())
 ORDER BY s.seat_no
