-- A pass through the bookings of a called off show has come to its end. running -> done when nothing is left that holds seats or
-- money or may come to; else the next pass begins in a second. What was being made then is known (alone); what waits for a payment
-- is waited for, and a payment that comes through at the last moment was seen waiting.
WITH rest AS (
  SELECT (SELECT count(*) FROM bookings b
           WHERE b.show_id = $1::uuid AND CASE WHEN b.state IN ('confirmed', 'payment_pending') THEN true END
             AND (SELECT count(*) FROM show_job_errors e WHERE e.job_id = $2::uuid AND e.booking_id = b.booking_id) = 0)
       + (SELECT count(*) FROM seat_locks l WHERE l.show_id = $1::uuid AND l.state IN ('active', 'paying')) AS n)
UPDATE show_jobs j
   SET state = CASE WHEN r.n = 0 AND j.alone THEN 'done' ELSE 'running' END,
       ended_at = CASE WHEN r.n = 0 AND j.alone THEN statement_timestamp() ELSE 'infinity' END,
       total = CASE WHEN r.n = 0 AND j.alone THEN j.done + j.failed ELSE j.total END,
       after_booking = '00000000-0000-0000-0000-000000000000', next_at = statement_timestamp() + interval '1 second'
  FROM rest r
 WHERE j.show_id = $1::uuid AND j.job_id = $2::uuid AND j.state = 'running'
