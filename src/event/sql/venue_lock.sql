-- The first statement of an upload: locks the organiser's venue, so that two uploads number their versions one after the
-- other. In a statement of its own, because only the next statement sees what was committed while this one waited.
SELECT v.venue_id FROM venues v WHERE v.venue_id = $1::uuid AND v.organizer_id = $2::uuid FOR NO KEY UPDATE
