-- The link of a booking is to be sent to the address it was made with, when reference ($1) and address ($2: its keyed hash) are one
-- booking's. Whether they are is told to nobody.
INSERT INTO notifications (notification_id, organizer_id, kind, show_id, booking_id, buyer_id)
SELECT $3::uuid, b.organizer_id, 'lookup', b.show_id, b.booking_id, b.buyer_id
  FROM bookings b
 CROSS JOIN LATERAL (SELECT k.email_hash, k.erased_at FROM buyers k WHERE k.buyer_id = b.buyer_id LIMIT 1) y
 WHERE b.reference = $1::text AND y.email_hash = $2::bytea AND y.erased_at IS NULL
 ORDER BY b.created_at DESC LIMIT 1
