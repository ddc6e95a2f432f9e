-- Ended locks that no week was made for (no `work` ran for a month) and are older than they are kept, some at a time. The table
-- is empty otherwise.
DELETE FROM seat_lock_history_default h USING (
  SELECT o.ctid AS at FROM seat_lock_history_default o WHERE o.created_at < statement_timestamp() - $1::interval LIMIT $2::int) old
 WHERE h.ctid = old.at
