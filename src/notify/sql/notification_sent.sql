-- queued -> sent: the server has it. Without the claim: also who was overtaken says so, so that it is not sent once more. Locks the row.
UPDATE notifications n SET state = 'sent', ended_at = statement_timestamp(), smtp_status = $2::int, last_error = ''
 WHERE n.notification_id = $1::uuid AND n.state = 'queued'
