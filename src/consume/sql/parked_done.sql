-- Parked events ($2) that went well after all; one that failed again has no wish any more. Locks and removes their rows.
DELETE FROM consumer_parked q WHERE q.consumer = $1::text AND q.event_id = ANY ($2::text[]) AND q.wish = 'retry'
