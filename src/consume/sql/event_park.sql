-- An event that a consumer could not take in $8 tries, or once more not. Locks its row, if it was parked before.
INSERT INTO consumer_parked AS q (consumer, event_id, show_id, topic, type, event_at, event, tries, cause)
VALUES ($1::text, $2::text, $3::uuid, $4::text, $5::text, $6::timestamptz, $7::jsonb::json, $8::int, $9::text)
ON CONFLICT (consumer, event_id) DO UPDATE SET tries = q.tries + EXCLUDED.tries, cause = EXCLUDED.cause, wish = ''
