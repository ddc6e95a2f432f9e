-- enabled, disabled, suspended -> deleted: its secrets are forgotten; its deliveries and its row are purged later. Locks its row.
UPDATE webhook_endpoints w
   SET state = 'deleted', state_at = statement_timestamp(), secret = '', old_secret = '', old_secret_ends_at = '-infinity'
 WHERE w.webhook_id = $1::uuid AND w.organizer_id = $2::uuid AND w.state IN ('enabled', 'disabled', 'suspended')
RETURNING w.webhook_id
