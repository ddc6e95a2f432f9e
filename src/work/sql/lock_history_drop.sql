-- The weeks of the lock history of which everything is older than it is kept go (a function of the owner's, see the migration).
SELECT seat_lock_history_drop($1::interval)
