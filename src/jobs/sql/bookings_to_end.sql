-- The next confirmed bookings of a show after $3, at most $4, without those that could not be ended. Reads only.
SELECT b.booking_id FROM bookings b
 WHERE b.show_id = $1::uuid AND b.booking_id > $3::uuid AND b.state = 'confirmed'
   AND (SELECT count(*) FROM show_job_errors e WHERE e.job_id = $2::uuid AND e.booking_id = b.booking_id) = 0
 ORDER BY b.booking_id LIMIT $4::int
