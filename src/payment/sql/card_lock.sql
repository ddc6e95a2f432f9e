-- Authorisations of one event by one card, one at a time: two at once could each miss the other's seats.
SELECT pg_advisory_xact_lock(hashtextextended($1::uuid::text || encode($2::bytea, 'hex'), 2))::text
