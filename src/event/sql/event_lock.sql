-- The first statement of a change of an event: locks the organiser's event. FOR UPDATE, so that it also waits for shows that
-- are just being made or published under it, and they for it.
SELECT e.event_id FROM events e WHERE e.event_id = $1::uuid AND e.organizer_id = $2::uuid FOR UPDATE
