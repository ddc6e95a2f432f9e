-- What became of locks that are watched: $1 shows, $2 locks, $3 the states as known, $4 when the clock has news of each (microseconds
-- since 1970). A row, with its place in the list, for each of which there is something to tell; few of them at a time. Over many
-- shows: it decides nothing. One that has gone to the history is looked up there. Reads only, by keys.
SELECT w.i::int AS i, coalesce(l.state, h.state, 'expired') AS state, coalesce(l.expires_at, h.expires_at, '-infinity') AS expires_at,
       statement_timestamp() AS now, b.booking_id, b.reference, b.state AS booking_state, s.off AS show_off
  FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[]) WITH ORDINALITY AS w (show_id, lock_id, known, next_us, i)
  LEFT JOIN LATERAL (SELECT k.state, k.expires_at FROM seat_locks k
                      WHERE k.show_id = w.show_id AND k.lock_id = w.lock_id LIMIT 1) l ON true
  LEFT JOIN LATERAL (SELECT k.state, k.expires_at FROM seat_lock_history k
                      WHERE k.show_id = w.show_id AND k.lock_id = w.lock_id AND l.state IS NULL LIMIT 1) h ON true
  LEFT JOIN LATERAL (SELECT k.booking_id, k.reference, k.state FROM bookings k
                      WHERE k.show_id = w.show_id AND k.lock_id = w.lock_id AND coalesce(l.state, h.state) = 'booked' LIMIT 1) b ON true
  LEFT JOIN LATERAL (SELECT k.status = 'cancelled' AS off FROM shows k
                      WHERE k.show_id = w.show_id AND coalesce(l.state, h.state) = 'released' LIMIT 1) s ON true
 WHERE l.state IS DISTINCT FROM w.known OR w.next_us <= extract(epoch FROM statement_timestamp()) * 1000000
