-- Which of these locks of a show are over (or were never made): a session's share must not count them. Reads only.
SELECT k.lock_id FROM unnest($2::uuid[]) AS k (lock_id)
 WHERE EXISTS (SELECT 1 FROM seat_locks l WHERE l.show_id = $1::uuid AND l.lock_id = k.lock_id
                AND NOT (l.state = 'paying' OR (l.state = 'active' AND l.expires_at > statement_timestamp())))
    OR EXISTS (SELECT 1 FROM seat_lock_history h WHERE h.show_id = $1::uuid AND h.lock_id = k.lock_id)
