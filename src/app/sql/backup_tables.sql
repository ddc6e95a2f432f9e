-- The tables whose rows a backup holds, by name: all of ours that have rows of their own, but for the state of the whole system.
SELECT c.relname FROM pg_class c
 WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND c.relname <> 'system_state'
 ORDER BY 1
