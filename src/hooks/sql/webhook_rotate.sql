-- Another secret; the one of before signs too for a while ($4), the one before that no more. No row: the same request did it
-- already, or there is no such webhook. Locks its row.
UPDATE webhook_endpoints w
   SET secret = $3::bytea, rotation_id = $5::uuid, rotation_hash = $6::bytea,
       old_secret = CASE WHEN $4::interval > interval '0' THEN w.secret ELSE '' END,
       old_secret_ends_at = statement_timestamp() + $4::interval
 WHERE w.webhook_id = $1::uuid AND w.organizer_id = $2::uuid AND w.state <> 'deleted' AND w.rotation_id <> $5::uuid
RETURNING w.webhook_id
