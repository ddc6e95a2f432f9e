-- Is this booking an organiser's ($3)? Reads only.
SELECT b.booking_id FROM bookings b WHERE b.show_id = $1::uuid AND b.booking_id = $2::uuid AND b.organizer_id = $3::uuid
