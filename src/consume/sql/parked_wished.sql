-- Parked events that somebody wants to be tried again. Reads only.
SELECT q.event_id, q.show_id, q.topic, q.type, q.event_at, q.event FROM consumer_parked q
 WHERE q.consumer = $1::text AND q.wish = 'retry' ORDER BY q.parked_at LIMIT $2::int
