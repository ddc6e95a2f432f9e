-- Oldest program: 0009
--
-- Who wants to be told that a lock is about to end is found among those who do, not among all locks that end in the next minute.
--
-- Expands only. An index of few rows: neither column ever changes, so updates of locks stay HOT; a lock without a notice costs one
-- comparison (docs/decisions/0062).
--
-- Ahead: CREATE INDEX CONCURRENTLY IF NOT EXISTS seat_locks_to_notify ON seat_locks (expires_at) WHERE notify_buyer <> '00000000-0000-0000-0000-000000000000';
CREATE INDEX IF NOT EXISTS seat_locks_to_notify ON seat_locks (expires_at) WHERE notify_buyer <> '00000000-0000-0000-0000-000000000000';
