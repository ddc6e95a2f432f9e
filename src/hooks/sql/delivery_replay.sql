-- delivered, failed -> queued, and what was not sent before is made: the events of a replay, in the transaction that moves it on.
-- What is queued stays as it is. Locks those rows.
INSERT INTO webhook_deliveries AS d (webhook_id, event_id, type, aggregate, event_at, body)
SELECT $1::uuid, u.id, u.type, u.aggregate, timestamptz 'epoch' + u.us * interval '1 microsecond', u.body
  FROM unnest($2::text[], $3::text[], $4::text[], $5::int8[], $6::text[]) WITH ORDINALITY AS u (id, type, aggregate, us, body, ord)
 ORDER BY u.ord
ON CONFLICT (webhook_id, event_id) DO UPDATE
   SET state = 'queued', attempts = 0, next_at = statement_timestamp(), ended_at = NULL
 WHERE d.state IN ('delivered', 'failed')
