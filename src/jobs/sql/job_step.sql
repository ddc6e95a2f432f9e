-- One booking of a called off show was ended: counted, and its buyer is told. In the transaction that ends it. Locks the job's row.
WITH step AS (
  UPDATE show_jobs j SET done = j.done + 1, after_booking = $3::uuid WHERE j.show_id = $1::uuid AND j.job_id = $2::uuid
  RETURNING j.job_id)
INSERT INTO notifications (notification_id, organizer_id, kind, show_id, booking_id, buyer_id, cause_id)
SELECT gen_random_uuid(), b.organizer_id, 'show_cancelled', b.show_id, b.booking_id, b.buyer_id, s.job_id
  FROM step s JOIN bookings b ON b.show_id = $1::uuid AND b.booking_id = $3::uuid
ON CONFLICT DO NOTHING
