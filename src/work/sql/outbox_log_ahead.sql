-- Makes the days of the log of events that have not begun, $1 of them. Locks: see migration 0012.
SELECT outbox_log_ahead($1::int) AS made
