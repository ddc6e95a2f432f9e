-- One booking could not be ended ($4: why) and is left for a person; counted once.
WITH made AS (
  INSERT INTO show_job_errors (job_id, booking_id, code) VALUES ($2::uuid, $3::uuid, $4::text)
  ON CONFLICT DO NOTHING
  RETURNING booking_id)
UPDATE show_jobs j SET failed = j.failed + (SELECT count(*) FROM made), after_booking = $3::uuid
 WHERE j.show_id = $1::uuid AND j.job_id = $2::uuid
