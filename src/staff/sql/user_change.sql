-- Another name, other scopes, disabled or not; NULL leaves it. Only of somebody whose scopes who asks has too ($6), and of
-- oneself ($7) only the name. Locks the user's row.
UPDATE staff_users SET name = coalesce($3::text, name), scopes = coalesce($4::text[], scopes),
       disabled_at = CASE WHEN $5::boolean IS NULL THEN disabled_at
                          WHEN $5::boolean THEN coalesce(disabled_at, statement_timestamp()) END
 WHERE user_id = $1::uuid AND organizer_id = $2::uuid AND erased_at IS NULL AND scopes <@ $6::text[]
   AND (user_id <> $7::uuid OR ($4::text[] IS NULL AND $5::boolean IS NULL))
RETURNING user_id, disabled_at IS NOT NULL
