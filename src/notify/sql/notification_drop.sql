-- queued -> dropped: it is of no use any more ($3 why). Only with the claim ($2). Locks the row.
UPDATE notifications n SET state = 'dropped', ended_at = statement_timestamp(), last_error = $3::text
 WHERE n.notification_id = $1::uuid AND n.state = 'queued' AND n.claim_id = $2::uuid
