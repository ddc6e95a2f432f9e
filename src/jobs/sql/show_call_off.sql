-- A show of the organiser ($2) is called off: no new lock or booking from here on; and the job that gives back what was paid,
-- once. found: it is theirs. Locks the show's row.
WITH old AS (
  SELECT s.show_id FROM shows s WHERE s.show_id = $1::uuid AND s.organizer_id = $2::uuid FOR NO KEY UPDATE),
off AS (
  UPDATE shows s SET status = 'cancelled', version = s.version + 1 FROM old o WHERE s.show_id = $1::uuid AND s.status <> 'cancelled'
  RETURNING show_event('show.cancelled', s, NULL, $3::uuid) AS event),
told AS (
  INSERT INTO outbox (show_id, outbox_id, topic, events) SELECT $1::uuid, $6::uuid, 'show', json_build_array(o.event) FROM off o),
made AS (
  INSERT INTO show_jobs (show_id, job_id, kind, state, reason, request_hash, total)
  SELECT $1::uuid, $3::uuid, 'cancel', 'running', $4::text, $5::bytea,
         (SELECT count(*) FILTER (WHERE b.state IN ('confirmed', 'payment_pending')) FROM bookings b WHERE b.show_id = $1::uuid)
    FROM old o
  ON CONFLICT DO NOTHING)
SELECT (SELECT count(*) FROM old) AS found
