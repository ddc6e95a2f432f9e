-- Drops the days of the log of which nothing is as young as $1, and which every consumer that is in use has read. Locks: see migration 0012.
SELECT outbox_log_drop($1::interval) AS dropped
