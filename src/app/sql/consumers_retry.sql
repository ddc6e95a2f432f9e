-- Parked events of the consumer $1 shall be tried again: the one of this id ($2), or all when that is empty. Locks their rows.
UPDATE consumer_parked q SET wish = 'retry' WHERE q.consumer = $1::text AND ($2::text = '' OR q.event_id = $2::text)
RETURNING q.event_id
