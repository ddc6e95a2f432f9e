-- enabled -> suspended, by the program: failed for long, or gone. Locks its row. Whose it is, for the audit log.
UPDATE webhook_endpoints w SET state = 'suspended', state_at = statement_timestamp(), suspended_why = $2::text
 WHERE w.webhook_id = $1::uuid AND w.state = 'enabled'
RETURNING w.organizer_id
