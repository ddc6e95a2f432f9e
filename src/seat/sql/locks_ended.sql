-- Locks that ended and whose time has passed for a while: to be moved to the history. Reads only, over all shows.
SELECT l.show_id, array_agg(l.lock_id ORDER BY l.lock_id) AS locks
  FROM (SELECT k.show_id, k.lock_id FROM seat_locks k
         WHERE k.expires_at <= statement_timestamp() - interval '5 seconds' AND k.state NOT IN ('active', 'paying')
         ORDER BY k.expires_at LIMIT $1::int) l
 GROUP BY l.show_id
 ORDER BY l.show_id
