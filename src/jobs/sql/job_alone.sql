-- Waits for every booking of the called off show that is being made (booking_create holds a share of the show's row): from now
-- on each is there to be seen, and no further one comes. Locks the show's row against them.
WITH here AS (
  SELECT s.show_id FROM shows s WHERE s.show_id = $1::uuid AND s.status = 'cancelled' FOR UPDATE)
UPDATE show_jobs j SET alone = true FROM here h WHERE j.show_id = $1::uuid AND j.job_id = $2::uuid
