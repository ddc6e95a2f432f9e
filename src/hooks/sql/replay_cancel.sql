-- running -> cancelled: its webhook was deleted. Locks its row.
UPDATE webhook_replays r SET state = 'cancelled', ended_at = statement_timestamp()
 WHERE r.webhook_id = $1::uuid AND r.state = 'running'
