-- queued -> dropped: what is too late to be of use, at most $4: past the time that its writer named, or older than its kind may be ($1
-- kinds, $2 how old), or than anything may be ($3) without having been tried. Somebody may be sending it just now (due_at is a claim's
-- end): whoever is through comes first. Locks the rows, passing over those that are locked.
WITH late AS (
  SELECT n.notification_id FROM notifications n
    LEFT JOIN unnest($1::text[], $2::bigint[]) AS k (kind, age_us) ON k.kind = n.kind
   WHERE n.state = 'queued' AND n.due_at <= statement_timestamp()
     AND (n.not_after <= statement_timestamp()
          OR n.created_at <= statement_timestamp() - least(coalesce(k.age_us, $3::bigint), $3::bigint) * interval '1 microsecond')
     AND n.attempts = 0
   LIMIT $4::int FOR UPDATE OF n SKIP LOCKED)
UPDATE notifications n SET state = 'dropped', ended_at = statement_timestamp(), last_error = 'too late to be of use'
  FROM late t
 WHERE n.notification_id = t.notification_id AND n.state = 'queued'
