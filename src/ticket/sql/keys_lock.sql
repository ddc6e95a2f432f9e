-- One rotation at a time, until the end of the transaction. Tickets being issued do not wait.
SELECT pg_advisory_xact_lock(hashtext('boxoffice ticket_keys'))
