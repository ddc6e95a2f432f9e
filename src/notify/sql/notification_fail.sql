-- queued -> failed: the server refused it ($3 its status, $4 its words without addresses), or it is not tried any longer. Only with
-- the claim ($2). Locks the row.
UPDATE notifications n SET state = 'failed', ended_at = statement_timestamp(), smtp_status = $3::int, last_error = $4::text
 WHERE n.notification_id = $1::uuid AND n.state = 'queued' AND n.claim_id = $2::uuid
