-- One lock, alive or ended. $3: the session it must belong to. Reads only.
SELECT l.state, l.seats, l.prices, l.categories, l.total_minor, l.currency::text, l.created_at, l.expires_at,
       statement_timestamp() AS now, l.request_hash, l.session_id
  FROM (SELECT a.* FROM seat_locks a WHERE a.show_id = $1::uuid AND a.lock_id = $2::uuid
        UNION ALL
        SELECT h.* FROM seat_lock_history h WHERE h.show_id = $1::uuid AND h.lock_id = $2::uuid) l
 WHERE l.session_id = $3::uuid
 LIMIT 1
