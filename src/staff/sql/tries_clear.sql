-- The right password was given: earlier guesses at this account from here count no more.
DELETE FROM staff_tries WHERE key = ANY ($1::bytea[])
