-- Replays that ended long ago ($1), and all of webhooks that were deleted.
DELETE FROM webhook_replays r
 WHERE r.ended_at < statement_timestamp() - $1::interval
    OR EXISTS (SELECT 1 FROM webhook_endpoints w WHERE w.webhook_id = r.webhook_id AND w.state = 'deleted')
