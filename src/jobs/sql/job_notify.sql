-- The buyers of the next confirmed bookings of a show that was put off, at most $4 after $3, are told: once each; and so is who has
-- tickets of theirs by a transfer (the CASE: found by the booking, not among all that are valid). running -> done with the last of
-- them. Whoever was overtaken (the job is not where it was read) counts nothing. Answers how many bookings there were.
WITH next_ones AS (
  SELECT b.booking_id, b.buyer_id, b.organizer_id FROM bookings b
   WHERE b.show_id = $1::uuid AND b.booking_id > $3::uuid AND b.state = 'confirmed'
   ORDER BY b.booking_id LIMIT $4::int),
told AS (
  INSERT INTO notifications (notification_id, organizer_id, kind, show_id, booking_id, buyer_id, cause_id)
  SELECT gen_random_uuid(), w.organizer_id, 'show_rescheduled', $1::uuid, w.booking_id, w.buyer_id, $2::uuid
    FROM (SELECT s.organizer_id, s.booking_id, s.buyer_id FROM next_ones s
          UNION
          SELECT s.organizer_id, s.booking_id, h.to_buyer FROM next_ones s
           CROSS JOIN LATERAL (SELECT f.to_buyer FROM tickets t JOIN ticket_transfers f ON f.show_id = $1::uuid AND f.transfer_id = t.transfer_id
                                WHERE t.booking_id = s.booking_id AND t.show_id = $1::uuid AND CASE WHEN t.state <> 'revoked' THEN true END
                                  AND t.transfer_id <> '00000000-0000-0000-0000-000000000000') h) w
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
