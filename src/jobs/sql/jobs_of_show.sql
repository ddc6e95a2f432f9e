-- The jobs of the organiser's ($2) show, the newest first, with what they could not do and what became of the refunds. A show without
-- any is one row of nulls. Reads only.
SELECT s.show_id, j.job_id, j.kind, j.state, j.reason, j.total, j.done, j.failed, j.created_at, j.ended_at, j.request_hash,
       ARRAY (SELECT e.booking_id FROM show_job_errors e WHERE e.job_id = j.job_id ORDER BY e.booking_id LIMIT 100) AS bookings,
       ARRAY (SELECT e.code FROM show_job_errors e WHERE e.job_id = j.job_id ORDER BY e.booking_id LIMIT 100) AS codes,
       r.open, r.succeeded, r.failed, j.starts_at, j.sale_starts_at, j.sale_ends_at
  FROM shows s
  LEFT JOIN LATERAL (SELECT k.* FROM show_jobs k WHERE k.show_id = s.show_id ORDER BY k.created_at DESC, k.job_id LIMIT 100) j ON true
  LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE f.state IN ('requested', 'pending')) AS open,
           count(*) FILTER (WHERE f.state = 'succeeded') AS succeeded,
           count(*) FILTER (WHERE f.state = 'failed' AND f.failure <> 'not_captured') AS failed
      FROM refunds f WHERE f.show_id = s.show_id AND f.reason = 'show_cancelled') r ON j.kind = 'cancel'
 WHERE s.show_id = $1::uuid AND s.organizer_id = $2::uuid
