-- What the staff change of a webhook; NULL leaves as it is. Another address begins anew. Locks its row.
UPDATE webhook_endpoints w
   SET url = coalesce($3::text, w.url), event_types = coalesce($4::text[], w.event_types),
       description = coalesce($5::text, w.description),
       failures = CASE WHEN $3::text <> w.url THEN 0 ELSE w.failures END,
       failing_since = CASE WHEN $3::text <> w.url THEN NULL ELSE w.failing_since END,
       resume_at = CASE WHEN $3::text <> w.url THEN '-infinity' ELSE w.resume_at END
 WHERE w.webhook_id = $1::uuid AND w.organizer_id = $2::uuid AND w.state <> 'deleted'
RETURNING w.webhook_id
