-- Locks whose time is over, oldest first. Reads only, over all shows; what ends them is lock_expire, show by show.
SELECT l.show_id, array_agg(l.lock_id ORDER BY l.lock_id) AS locks,
       (extract(epoch FROM statement_timestamp() - min(l.expires_at)) * 1000000)::bigint AS lag_us
  FROM (SELECT k.show_id, k.lock_id, k.expires_at FROM seat_locks k
         WHERE k.expires_at <= statement_timestamp() AND k.state = 'active'
         ORDER BY k.expires_at LIMIT $1::int) l
 GROUP BY l.show_id
 ORDER BY l.show_id
