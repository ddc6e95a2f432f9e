-- An event and what is next of it. $2: the organiser who may also see a draft (all zero: nobody). Reads only.
SELECT e.event_id, e.name, e.category, e.description, e.status, e.max_per_payer, e.request_hash, e.organizer_id,
       (SELECT min(s.starts_at) FROM shows s WHERE s.event_id = e.event_id AND s.status = 'published'
           AND s.starts_at > statement_timestamp()) AS next_show_at,
       (SELECT v.city FROM shows s JOIN venues v USING (venue_id) WHERE s.event_id = e.event_id AND s.status = 'published'
         ORDER BY s.starts_at LIMIT 1) AS city,
       e.language, e.xmin::text::bigint AS revision
  FROM events e
 WHERE e.event_id = $1::uuid AND (e.status <> 'draft' OR e.organizer_id = $2::uuid)
