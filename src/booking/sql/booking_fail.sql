-- payment_pending -> failed, only when its lock has ended. $4: why, unless the show was called off.
WITH moved AS (
  UPDATE bookings b SET state = 'failed', ended_at = statement_timestamp(), version = b.version + 1,
         reason = CASE (SELECT s.status FROM shows s WHERE s.show_id = $1::uuid) WHEN 'cancelled' THEN 'show_cancelled' ELSE $4::text END
   WHERE b.show_id = $1::uuid AND b.booking_id = $2::uuid
     AND CASE WHEN b.state = 'payment_pending' THEN true END -- (in a CASE: else the index of pending bookings looks as good as the key)
     AND (SELECT count(*) FROM seat_locks l WHERE l.show_id = $1::uuid AND l.lock_id = b.lock_id -- (by the key: no EXISTS)
             AND (l.state = 'paying' OR (l.state = 'active' AND l.expires_at > statement_timestamp()))) = 0
  RETURNING b.booking_id, b.version, b.reason, b.reference, b.event_id, b.organizer_id, b.lock_id),
told AS (
  INSERT INTO outbox (show_id, outbox_id, topic, events)
  SELECT $1::uuid, $3::uuid, 'booking', json_build_array(json_build_object('type', 'booking.failed', 'booking_id', m.booking_id,
           'version', m.version, 'show_id', $1::uuid, 'event_id', m.event_id, 'organizer_id', m.organizer_id, 'reference', m.reference,
           'lock_id', m.lock_id, 'reason', m.reason))
    FROM moved m)
SELECT m.booking_id FROM moved m
