-- Who has this address. Somebody who is disabled is found too: that takes as long as anybody.
SELECT user_id, organizer_id, password_hash, disabled_at IS NOT NULL FROM staff_users
 WHERE email = $1::text AND erased_at IS NULL
