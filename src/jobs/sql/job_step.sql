-- One booking of a called off show was ended: counted, and its buyer is told, and so is who had tickets of it by a transfer: those that
-- this transaction, which ends the booking, revokes. Locks the job's row.
WITH step AS (
  UPDATE show_jobs j SET done = j.done + 1, after_booking = $3::uuid WHERE j.show_id = $1::uuid AND j.job_id = $2::uuid
  RETURNING j.job_id)
INSERT INTO notifications (notification_id, organizer_id, kind, show_id, booking_id, buyer_id, cause_id)
SELECT gen_random_uuid(), b.organizer_id, 'show_cancelled', b.show_id, b.booking_id, w.buyer_id, s.job_id
  FROM step s
  JOIN bookings b ON b.show_id = $1::uuid AND b.booking_id = $3::uuid
 CROSS JOIN LATERAL (
       SELECT b.buyer_id
       UNION
       SELECT f.to_buyer FROM tickets t JOIN ticket_transfers f ON f.show_id = $1::uuid AND f.transfer_id = t.transfer_id
        WHERE t.booking_id = $3::uuid AND t.show_id = $1::uuid AND (t.state <> 'revoked' OR t.ended_at >= transaction_timestamp())
          AND t.transfer_id <> '00000000-0000-0000-0000-000000000000') w
ON CONFLICT DO NOTHING
