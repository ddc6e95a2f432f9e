-- Sales are open again; $1 why that was thought right. A row when they were not.
INSERT INTO system_state AS s (sales, reason) VALUES ('open', $1::text)
ON CONFLICT (only_one) DO UPDATE SET sales = 'open', reason = excluded.reason, since = statement_timestamp(), restored_to = NULL
 WHERE s.sales <> 'open'
RETURNING 1
