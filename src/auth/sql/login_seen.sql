-- Notes the use of a login; of many at once one does. Locks its row.
UPDATE staff_logins SET seen_at = statement_timestamp()
 WHERE login_id = $1::uuid AND seen_at < statement_timestamp() - least(interval '1 minute', $2::interval / 4)
