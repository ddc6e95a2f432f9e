-- Parked events of the consumer $1 are given up: the one of this id ($2), or all when that is empty. Locks and removes their rows.
DELETE FROM consumer_parked q WHERE q.consumer = $1::text AND ($2::text = '' OR q.event_id = $2::text)
RETURNING q.event_id
