-- delivered, failed -> queued: sent once more, with all its attempts. Locks its row.
UPDATE webhook_deliveries d
   SET state = 'queued', attempts = 0, next_at = statement_timestamp(), ended_at = NULL
 WHERE d.webhook_id = $1::uuid AND d.delivery_id = $2::uuid AND d.state IN ('delivered', 'failed')
   AND EXISTS (SELECT 1 FROM webhook_endpoints w WHERE w.webhook_id = d.webhook_id AND w.organizer_id = $3::uuid AND w.state <> 'deleted')
RETURNING d.delivery_id
