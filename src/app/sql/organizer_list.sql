-- All organisers.
SELECT organizer_id, name FROM organizers ORDER BY name
