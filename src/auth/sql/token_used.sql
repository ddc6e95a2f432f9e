-- Notes the use of a token; of many at once one does. Locks its row.
UPDATE api_tokens SET last_used_at = statement_timestamp()
 WHERE token_id = $1::uuid AND coalesce(last_used_at < statement_timestamp() - interval '10 minutes', true)
