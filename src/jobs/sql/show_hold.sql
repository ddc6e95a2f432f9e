-- One change of a show at a time. Locks the show's row.
SELECT s.status FROM shows s WHERE s.show_id = $1::uuid AND s.organizer_id = $2::uuid FOR NO KEY UPDATE
