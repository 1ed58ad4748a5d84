-- The first request of a submission, from a place on, that stands and whose job lives.
-- $1 submission; $2 image, $3 queue and $4 params from which to look.
SELECT r.image_id, r.queue_id, r.params_id
FROM request AS r
WHERE r.submission_id = $1 AND (r.image_id, r.queue_id, r.params_id) >= ($2, $3, $4) AND r.withdrawn_at IS NULL AND r.state IS NULL
  -- OFFSET 0 keeps it a probe by id: a join would read all live jobs, however many there are.
  AND EXISTS (SELECT FROM job AS j WHERE j.id = r.job_id OFFSET 0)
ORDER BY r.image_id, r.queue_id, r.params_id
LIMIT 1
