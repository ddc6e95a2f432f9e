-- Changes the organiser's venue, if its row is one of the revisions in $3 (none: any); NULL keeps what is there. Runs behind
-- venue_lock in one transaction. No row: there is no such venue. same: it was that revision.
WITH here AS (
  SELECT v.venue_id, cardinality($3::bigint[]) = 0 OR v.xmin::text::bigint = ANY ($3::bigint[]) AS same
    FROM venues v WHERE v.venue_id = $1::uuid AND v.organizer_id = $2::uuid),
done AS (
  UPDATE venues v
     SET name = coalesce($4::text, v.name), timezone = coalesce($5::text, v.timezone), city = coalesce($6::text, v.city),
         address = coalesce($7::text, v.address), country = coalesce($8::text, v.country)
    FROM here h WHERE h.same AND v.venue_id = $1::uuid
  RETURNING 1)
SELECT h.same, (SELECT count(*) FROM done)::int AS changed, false AS shown, false AS over FROM here h
