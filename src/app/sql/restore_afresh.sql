-- A backup is brought back. Whoever was logged in then logs in again, because who has logged out, or was disabled, since is not known.
-- Consumers of events read the log from where they stood then, not Kafka, where their groups stand as they did before the restore.
-- Answers how many API tokens there are that were good then, and how many people. Ends every login; locks the rows of consumers.
WITH ended AS (
  DELETE FROM staff_logins RETURNING login_id),
reread AS (
  UPDATE consumers SET source = 'log', generation = generation + 1 WHERE source <> 'log')
SELECT (SELECT count(*) FROM api_tokens t WHERE t.revoked_at IS NULL AND t.expires_at > statement_timestamp()) AS tokens,
       (SELECT count(*) FROM staff_users u WHERE u.disabled_at IS NULL AND u.erased_at IS NULL) AS people,
       (SELECT count(*) FROM ended) AS logins
