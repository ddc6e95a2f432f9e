-- The buyers of the next confirmed bookings of a show that was put off, at most $4 after $3, are told: once each. running -> done
-- with the last of them. Whoever was overtaken (the job is not where it was read) counts nothing. Answers how many there were.
WITH next_ones AS (
  SELECT b.booking_id, b.buyer_id, b.organizer_id FROM bookings b
   WHERE b.show_id = $1::uuid AND b.booking_id > $3::uuid AND b.state = 'confirmed'
   ORDER BY b.booking_id LIMIT $4::int),
told AS (
  INSERT INTO notifications (notification_id, organizer_id, kind, show_id, booking_id, buyer_id, cause_id)
  SELECT gen_random_uuid(), s.organizer_id, 'show_rescheduled', $1::uuid, s.booking_id, s.buyer_id, $2::uuid FROM next_ones s
  ON CONFLICT DO NOTHING),
counted AS (
  SELECT count(*)::int AS n, (SELECT s.booking_id FROM next_ones s ORDER BY s.booking_id DESC LIMIT 1) AS last FROM next_ones)
UPDATE show_jobs j
   SET done = j.done + c.n, after_booking = coalesce(c.last, j.after_booking),
       state = CASE WHEN c.n < $4::int THEN 'done' ELSE 'running' END,
       total = CASE WHEN c.n < $4::int THEN j.done + c.n ELSE j.total END,
       ended_at = CASE WHEN c.n < $4::int THEN statement_timestamp() ELSE 'infinity' END
  FROM counted c
 WHERE j.show_id = $1::uuid AND j.job_id = $2::uuid AND j.after_booking = $3::uuid AND j.state = 'running'
RETURNING c.n
