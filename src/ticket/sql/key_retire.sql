-- active -> retired: signs no more, stays trusted. A new active key follows in the same transaction, behind keys_lock.
UPDATE ticket_keys SET status = 'retired' WHERE status = 'active'
