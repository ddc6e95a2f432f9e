-- An attempt did not end well: since when nothing does, and when to go on. A failure after a silence of $6 begins a new stretch.
-- From $3 failures in a row on the endpoint is left alone for $4, doubled with each, at most $5. Locks its row.
UPDATE webhook_endpoints w
   SET failures = w.failures + 1, last_failure_at = statement_timestamp(), last_status = $2::int, last_error = $7::text,
       failing_since = CASE WHEN w.failing_since IS NULL OR w.last_failure_at < statement_timestamp() - $6::interval
                            THEN statement_timestamp() ELSE w.failing_since END,
       resume_at = CASE WHEN w.failures + 1 < $3::int THEN w.resume_at
                        ELSE statement_timestamp() + least($4::interval * (2 ^ least(w.failures + 1 - $3::int, 20)), $5::interval) END
 WHERE w.webhook_id = $1::uuid
RETURNING w.failures, (extract(epoch FROM statement_timestamp() - w.failing_since) * 1000000)::int8 AS failing_us, w.state
