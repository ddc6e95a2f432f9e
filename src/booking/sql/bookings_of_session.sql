-- What a session has booked, newest first, over all shows. Reads only.
SELECT b.show_id, b.booking_id FROM bookings b
 WHERE b.session_id = $1::uuid
 ORDER BY b.created_at DESC, b.booking_id
 LIMIT $2::int
