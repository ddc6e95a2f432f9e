-- Ends a token; the time of the first revocation stays.
UPDATE api_tokens SET revoked_at = coalesce(revoked_at, statement_timestamp()) WHERE token_id = $1::uuid RETURNING token_id
