-- One user of an organiser.
SELECT user_id, email, name, scopes, created_at, disabled_at IS NOT NULL, password_hash = '', invitation_ends_at, request_hash
  FROM staff_users WHERE user_id = $1::uuid AND organizer_id = $2::uuid AND erased_at IS NULL
