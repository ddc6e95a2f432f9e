-- enabled, suspended -> disabled: nothing is sent, events go on queueing. Locks its row.
UPDATE webhook_endpoints w SET state = 'disabled', state_at = statement_timestamp(), suspended_why = ''
 WHERE w.webhook_id = $1::uuid AND w.state IN ('enabled', 'suspended')
