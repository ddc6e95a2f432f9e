-- A login by its token's hash, with what its user may do now: used within $2, not over, the user not disabled. The last column:
-- the use is worth noting.
SELECT l.login_id, u.organizer_id, u.scopes, l.seen_at < statement_timestamp() - least(interval '1 minute', $2::interval / 4), u.user_id
  FROM staff_logins l JOIN staff_users u ON u.user_id = l.user_id
 WHERE l.token_hash = $1::bytea AND l.ends_at > statement_timestamp() AND l.seen_at > statement_timestamp() - $2::interval
   AND u.disabled_at IS NULL
