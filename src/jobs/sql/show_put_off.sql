-- A show gets another time, and perhaps another sale window ($5, $6). A sale whose end is not said ($6 null) and that ended within a day
-- of the old start, before it or after, ended because of it: it ends as long before or after the new one. Another end stays, but a sale
-- that was to be over when the show starts does not go on beyond the new start. Who booked before may give back in full
-- until $7 (null: no such right beyond what there is). With the job that tells them. After show_hold, in the same transaction. The
-- same request as the one before it changes nothing. No row: it was called off.
WITH before AS (
  SELECT j.request_hash FROM show_jobs j
   WHERE j.show_id = $1::uuid AND j.kind = 'reschedule' ORDER BY j.created_at DESC, j.job_id LIMIT 1),
moved AS (
  UPDATE shows s
     SET starts_at = $4::timestamptz, local_starts_at = $4::timestamptz AT TIME ZONE s.timezone,
         sale_starts_at = coalesce($5::timestamptz, s.sale_starts_at),
         sale_ends_at = CASE WHEN $6::timestamptz IS NOT NULL THEN $6::timestamptz
                             WHEN s.sale_ends_at BETWEEN s.starts_at - interval '1 day' AND s.starts_at + interval '1 day'
                               THEN s.sale_ends_at + ($4::timestamptz - s.starts_at)
                             WHEN s.sale_ends_at < s.starts_at THEN least(s.sale_ends_at, $4::timestamptz)
                             ELSE s.sale_ends_at END,
         refund_until = greatest(s.refund_until, coalesce($7::timestamptz, '-infinity')),
         rescheduled_at = CASE WHEN $7::timestamptz IS NULL THEN s.rescheduled_at ELSE statement_timestamp() END,
         reschedules = s.reschedules + 1, version = s.version + 1
   WHERE s.show_id = $1::uuid AND s.organizer_id = $2::uuid AND s.status <> 'cancelled'
     AND $8::bytea IS DISTINCT FROM (SELECT b.request_hash FROM before b)
  RETURNING s.show_id, s.starts_at, s.sale_starts_at, s.sale_ends_at, show_event('show.rescheduled', s, (SELECT o.starts_at FROM shows o WHERE o.show_id = $1::uuid), $3::uuid) AS event),
told AS (
  INSERT INTO outbox (show_id, outbox_id, topic, events) SELECT m.show_id, $9::uuid, 'show', json_build_array(m.event) FROM moved m),
made AS (
  INSERT INTO show_jobs (show_id, job_id, kind, state, request_hash, starts_at, sale_starts_at, sale_ends_at, total)
  SELECT m.show_id, $3::uuid, 'reschedule', 'running', $8::bytea, m.starts_at, m.sale_starts_at, m.sale_ends_at,
         (SELECT count(*) FILTER (WHERE b.state = 'confirmed') FROM bookings b WHERE b.show_id = $1::uuid)
    FROM moved m)
SELECT s.show_id FROM shows s WHERE s.show_id = $1::uuid AND s.status <> 'cancelled'
