-- An API token; only its hash is kept. $9 the device it is of ('': none), $10 the shows whose doors it opens (none: all). No row: the id
-- is there already, one of the shows is not the organiser's, or who makes it ($7) was disabled or revoked a moment ago.
-- Shares the organiser's row with other makers, so that whoever ends the tokens of a user sees all of them.
WITH organizer AS MATERIALIZED (
  SELECT o.organizer_id FROM organizers o WHERE o.organizer_id = $2::uuid FOR SHARE),
person AS MATERIALIZED (
  SELECT u.user_id FROM organizer o JOIN staff_users u ON u.organizer_id = o.organizer_id
   WHERE u.user_id = $7::uuid AND u.disabled_at IS NULL FOR SHARE OF u),
token AS MATERIALIZED (
  SELECT t.token_id FROM organizer o JOIN api_tokens t ON t.organizer_id = o.organizer_id
   WHERE t.token_id = $7::uuid AND t.revoked_at IS NULL FOR SHARE OF t)
INSERT INTO api_tokens (token_id, organizer_id, name, token_hash, scopes, expires_at, created_by, request_hash, device, shows)
SELECT $1::uuid, $2::uuid, $3::text, $4::bytea, $5::text[], $6::timestamptz, $7::uuid, $8::bytea, $9::text, $10::uuid[]
 WHERE (EXISTS (SELECT FROM person) OR EXISTS (SELECT FROM token))
   AND NOT EXISTS (SELECT 1 FROM unnest($10::uuid[]) AS a (show_id)
                    WHERE NOT EXISTS (SELECT 1 FROM shows s WHERE s.show_id = a.show_id AND s.organizer_id = $2::uuid))
ON CONFLICT DO NOTHING
RETURNING token_id
