-- All staff tokens and whether they may be used.
SELECT t.token_id, o.name, t.name, array_to_string(t.scopes, ','), to_char(t.created_at, 'YYYY-MM-DD'),
       CASE WHEN t.revoked_at IS NOT NULL THEN 'revoked' WHEN t.expires_at <= statement_timestamp() THEN 'expired'
            ELSE 'valid' END
  FROM api_tokens t JOIN organizers o USING (organizer_id)
 ORDER BY o.name, t.created_at
