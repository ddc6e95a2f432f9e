-- Events that a consumer could not take; $1 its name, '' for all. Reads only.
SELECT q.consumer, q.event_id, q.type, to_char(q.event_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS event_at, q.tries,
       CASE WHEN q.wish = '' THEN 'parked' ELSE 'to be tried again' END AS state, q.cause
  FROM consumer_parked q WHERE $1::text = '' OR q.consumer = $1::text ORDER BY q.consumer, q.parked_at, q.event_id
