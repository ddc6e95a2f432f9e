-- The weeks of the lock history that have not begun, made ahead (a function of the owner's, see the migration: what it locks).
SELECT seat_lock_history_ahead($1::int)
