-- It could not be sent now: again after $3 from now ($4: this attempt counts; $5, $6 what the server said, without addresses). Only
-- with the claim ($2). Locks the row.
UPDATE notifications n
   SET due_at = statement_timestamp() + $3::interval, claim_id = '00000000-0000-0000-0000-000000000000',
       attempts = n.attempts - CASE WHEN $4::bool THEN 0 ELSE 1 END, smtp_status = $5::int, last_error = $6::text
 WHERE n.notification_id = $1::uuid AND n.state = 'queued' AND n.claim_id = $2::uuid
