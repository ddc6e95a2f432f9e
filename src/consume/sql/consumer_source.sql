-- What a consumer reads from now on ($3), if nobody has put it elsewhere since ($2 its generation). Locks its row.
UPDATE consumers c SET source = $3::text WHERE c.consumer = $1::text AND c.generation = $2::bigint
