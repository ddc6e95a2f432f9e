-- What a session has booked, newest first, over all shows, after the cursor ($3, $4). Reads only.
SELECT b.show_id, b.booking_id, b.created_at FROM bookings b
 WHERE b.session_id = $1::uuid AND (b.created_at, b.booking_id) < ($3::timestamptz, $4::uuid)
 ORDER BY b.created_at DESC, b.booking_id DESC
 LIMIT $2::int
