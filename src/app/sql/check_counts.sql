-- What was looked at.
SELECT (SELECT count(*) FROM shows) AS shows, (SELECT count(*) FROM show_seats) AS seats,
       (SELECT count(*) FROM seat_locks WHERE state IN ('active', 'paying')) AS locks,
       (SELECT count(*) FROM bookings) AS bookings, (SELECT count(*) FROM payments) AS payments,
       (SELECT count(*) FROM tickets) AS tickets
