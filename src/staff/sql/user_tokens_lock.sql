-- No token of the organiser $1 is being made when this has been answered, nor will one be until the end of the transaction (token_add
-- shares this lock): a statement begun after it sees them all. Nobody but makers of tokens waits for it.
SELECT 1 AS one FROM organizers o WHERE o.organizer_id = $1::uuid FOR NO KEY UPDATE
