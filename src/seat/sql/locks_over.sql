-- Which of these locks of a show are over, or were never made: a session's share must not count them. $3: admitted so long ago
-- that a lock would be there by now. Reads only.
SELECT k.lock_id FROM unnest($2::uuid[], $3::boolean[]) AS k (lock_id, old)
 WHERE EXISTS (SELECT 1 FROM seat_locks l WHERE l.show_id = $1::uuid AND l.lock_id = k.lock_id
                AND NOT (l.state = 'paying' OR (l.state = 'active' AND l.expires_at > statement_timestamp())))
    OR EXISTS (SELECT 1 FROM seat_lock_history h WHERE h.show_id = $1::uuid AND h.lock_id = k.lock_id)
    OR (k.old AND NOT EXISTS (SELECT 1 FROM seat_locks l WHERE l.show_id = $1::uuid AND l.lock_id = k.lock_id))
