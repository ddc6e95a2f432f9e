-- What a session holds now, over all shows, oldest first, after the cursor ($2, $3). Reads only.
SELECT l.show_id, l.lock_id, l.state, l.seats, l.prices, l.categories, l.total_minor, l.currency::text, l.created_at,
       l.expires_at, statement_timestamp() AS now
  FROM seat_locks l
 WHERE l.session_id = $1::uuid AND (l.state = 'paying' OR (l.state = 'active' AND l.expires_at > statement_timestamp()))
   AND (l.created_at, l.lock_id) > ($2::timestamptz, $3::uuid)
 ORDER BY l.created_at, l.lock_id
 LIMIT $4::int
