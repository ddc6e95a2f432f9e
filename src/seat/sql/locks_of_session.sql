-- What a session holds now, over all shows. Reads only.
SELECT l.show_id, l.lock_id, l.state, l.seats, l.prices, l.categories, l.total_minor, l.currency::text, l.created_at,
       l.expires_at, statement_timestamp() AS now
  FROM seat_locks l
 WHERE l.session_id = $1::uuid AND (l.state = 'paying' OR (l.state = 'active' AND l.expires_at > statement_timestamp()))
 ORDER BY l.created_at, l.lock_id
 LIMIT 100
