-- The API tokens that a user ($1, of the organiser $2) made, and those made by these, end. After user_tokens_lock, in the transaction that
-- disables or erases the user. Locks their rows.
WITH RECURSIVE theirs AS (
  SELECT t.token_id FROM api_tokens t WHERE t.organizer_id = $2::uuid AND t.created_by = $1::uuid
  UNION
  SELECT t.token_id FROM theirs h JOIN api_tokens t ON t.organizer_id = $2::uuid AND t.created_by = h.token_id)
UPDATE api_tokens a SET revoked_at = statement_timestamp()
  FROM theirs h WHERE a.token_id = h.token_id AND a.organizer_id = $2::uuid AND a.revoked_at IS NULL
