-- One new webhook of an organiser at a time, until the end of the transaction: their number is limited.
SELECT pg_advisory_xact_lock(hashtextextended('boxoffice webhooks ' || $1::uuid, 0))
