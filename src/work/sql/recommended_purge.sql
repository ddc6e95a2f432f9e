-- What was counted about events that are over goes when their last show began 30 to 90 days ago: of a few of them at a time ($1), those
-- of which there is something. Locks and removes those rows.
WITH over AS (
  SELECT e.event_id FROM (SELECT DISTINCT s.event_id FROM shows s
                           WHERE s.starts_at BETWEEN statement_timestamp() - interval '90 days' AND statement_timestamp() - interval '30 days') e
   WHERE NOT EXISTS (SELECT 1 FROM shows s WHERE s.event_id = e.event_id AND s.starts_at > statement_timestamp() - interval '30 days')
     AND (EXISTS (SELECT 1 FROM recommend_booked r WHERE r.event_id = e.event_id)
          OR EXISTS (SELECT 1 FROM recommend_pairs p WHERE p.event_id = e.event_id)
          OR EXISTS (SELECT 1 FROM recommend_pairs p WHERE p.other_id = e.event_id))
   LIMIT $1::int),
booked AS (DELETE FROM recommend_booked r USING over o WHERE r.event_id = o.event_id),
their AS (DELETE FROM recommend_pairs p USING over o WHERE p.event_id = o.event_id)
DELETE FROM recommend_pairs p USING over o WHERE p.other_id = o.event_id AND p.event_id NOT IN (SELECT v.event_id FROM over v)
