-- Whose a booking is. Reads only.
SELECT b.session_id, b.organizer_id FROM bookings b WHERE b.show_id = $1::uuid AND b.booking_id = $2::uuid
