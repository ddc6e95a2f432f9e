-- What somebody wishes ($3) about the event $1:$2; its state, without a row: it is not there. Locks its row.
WITH wished AS (
  UPDATE outbox_parked p SET wish = $3::text
   WHERE p.outbox_id = $1::uuid AND p.place = $2::int AND p.state = 'refused' RETURNING p.state)
SELECT p.state FROM outbox_parked p WHERE p.outbox_id = $1::uuid AND p.place = $2::int
