-- Everybody of the staff, and whether they may log in.
SELECT u.user_id, o.name, u.email, array_to_string(u.scopes, ','), to_char(u.created_at, 'YYYY-MM-DD'),
       CASE WHEN u.disabled_at IS NOT NULL THEN 'disabled' WHEN u.password_hash = '' THEN 'invited' ELSE 'active' END
  FROM staff_users u JOIN organizers o USING (organizer_id)
 WHERE u.erased_at IS NULL
 ORDER BY o.name, u.email
