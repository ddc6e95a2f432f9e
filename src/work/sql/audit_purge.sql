-- Rows of the audit log older than $1 go, at most $2 (audit_log_purge in db/migrations/0010_leftovers.sql).
SELECT audit_log_purge($1::interval, $2::int) AS gone
