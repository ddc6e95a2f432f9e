-- The users of an organiser, by id.
SELECT user_id, email, name, scopes, created_at, disabled_at IS NOT NULL, password_hash = '', invitation_ends_at, request_hash
  FROM staff_users WHERE organizer_id = $1::uuid AND user_id > $2::uuid AND erased_at IS NULL
 ORDER BY user_id LIMIT $3::int
