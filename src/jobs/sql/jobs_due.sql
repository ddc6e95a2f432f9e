-- The jobs that are to be gone on with, over all shows. Reads only.
SELECT j.show_id, j.job_id, j.kind, j.after_booking, j.alone FROM show_jobs j
 WHERE j.state = 'running' AND j.next_at <= statement_timestamp()
 ORDER BY j.next_at LIMIT $1::int
