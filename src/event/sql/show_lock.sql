-- The first statement of a change of a show, run twice in its transaction: the second time it sees what was committed while the
-- first waited. Locks the organiser's show, and keeps its event from becoming a draft meanwhile.
SELECT s.status, s.xmin::text::bigint AS revision
  FROM shows s JOIN events e ON e.event_id = s.event_id
 WHERE s.show_id = $1::uuid AND s.organizer_id = $2::uuid
   FOR NO KEY UPDATE OF s FOR KEY SHARE OF e
