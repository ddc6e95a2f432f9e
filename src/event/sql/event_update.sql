-- Changes the organiser's event, if its row is one of the revisions in $3 (none: any); NULL keeps what is there. Runs behind
-- event_lock in one transaction. It becomes a draft only when no show of it is published: seats are locked by the show's row alone.
-- No row: there is no such event. same: it was that revision; shown: it has such a show; over: it was cancelled.
WITH here AS (
  SELECT cardinality($3::bigint[]) = 0 OR e.xmin::text::bigint = ANY ($3::bigint[]) AS same,
         e.status = 'cancelled' AS over,
         $7::text = 'draft' AND coalesce((SELECT true FROM shows s WHERE s.event_id = e.event_id AND s.status = 'published' LIMIT 1),
                                         false) AND e.status = 'published' AS shown
    FROM events e WHERE e.event_id = $1::uuid AND e.organizer_id = $2::uuid),
done AS (
  UPDATE events e
     SET name = coalesce($4::text, e.name), category = coalesce($5::text, e.category),
         description = coalesce($6::text, e.description), status = coalesce($7::text, e.status),
         max_per_payer = CASE WHEN $8::boolean THEN $9::int ELSE e.max_per_payer END,
         language = coalesce($10::text, e.language)
    FROM here h WHERE h.same AND NOT h.over AND NOT coalesce(h.shown, false) AND e.event_id = $1::uuid
  RETURNING 1)
SELECT h.same, (SELECT count(*) FROM done)::int AS changed, coalesce(h.shown, false) AS shown, h.over FROM here h
