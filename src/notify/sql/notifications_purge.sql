-- Notifications that ended longer than $1 ago are forgotten, at most $2. Locks them.
DELETE FROM notifications n
 WHERE n.notification_id IN (SELECT o.notification_id FROM notifications o
                              WHERE o.state <> 'queued' AND o.ended_at < statement_timestamp() - $1::interval LIMIT $2::int)
