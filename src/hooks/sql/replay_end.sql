-- running -> done: the log was gone through. Locks its row.
UPDATE webhook_replays r SET state = 'done', ended_at = statement_timestamp()
 WHERE r.replay_id = $1::uuid AND r.state = 'running'
