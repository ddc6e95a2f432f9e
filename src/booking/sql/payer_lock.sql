-- Bookings of one event by one address, one at a time: two at once could each miss the other's seats.
SELECT pg_advisory_xact_lock(hashtextextended($1::uuid::text || encode($2::bytea, 'hex'), 1))::text
