-- failed -> queued: a person says that it is to be sent once more ($1 which; NULL: all that failed), with all its time before it.
-- Locks the rows.
UPDATE notifications n
   SET state = 'queued', created_at = statement_timestamp(), due_at = statement_timestamp(), ended_at = 'infinity', attempts = 0,
       claim_id = '00000000-0000-0000-0000-000000000000'
 WHERE n.state = 'failed' AND ($1::uuid IS NULL OR n.notification_id = $1::uuid)
