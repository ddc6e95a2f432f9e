-- Tickets were given to somebody else: the trail, and the mail with the new ones. $1 show, $2 transfer, $3 booking, $4 seats, $5 the
-- tickets that are good no more, $6 who has the new ones, $7 and $8 who did it, $9 the request, $10 the mail. In the transaction that
-- revokes and issues.
WITH noted AS (
  INSERT INTO ticket_transfers (show_id, transfer_id, booking_id, seats, revoked, to_buyer, actor, actor_id, request_hash)
  VALUES ($1::uuid, $2::uuid, $3::uuid, $4::int[], $5::uuid[], $6::uuid, $7::text, $8::uuid, $9::bytea)
  RETURNING transfer_id)
INSERT INTO notifications (notification_id, organizer_id, kind, show_id, booking_id, buyer_id, cause_id)
SELECT $10::uuid, b.organizer_id, 'transfer', $1::uuid, $3::uuid, $6::uuid, n.transfer_id
  FROM noted n JOIN bookings b ON b.show_id = $1::uuid AND b.booking_id = $3::uuid
