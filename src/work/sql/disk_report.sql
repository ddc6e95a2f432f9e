-- What the machine $1 says of the disk of PostgreSQL: whether it is low, and how many megabytes are free. One row a machine.
INSERT INTO disk_reports AS d (place, low, free_mb) VALUES ($1::text, $2::boolean, $3::bigint)
ON CONFLICT (place) DO UPDATE SET low = excluded.low, free_mb = excluded.free_mb, seen_at = statement_timestamp()
