-- Removes the requests of a submission up to a place, and the texts of the tries at jobs that no other request names.
-- $1 the submission; the last request: $2 its image, $3 queue and $4 params.
WITH gone AS (
  DELETE FROM request WHERE submission_id = $1 AND (image_id, queue_id, params_id) <= ($2, $3::integer, $4::bigint)
  RETURNING job_id
)
UPDATE attempt AS t SET error_type = NULL, error_message = NULL, traceback = NULL
FROM gone AS g
WHERE t.job_id = g.job_id AND NOT EXISTS (
  SELECT FROM request AS r
  WHERE r.job_id = g.job_id
    -- Those that go are still seen here.
    AND (r.submission_id <> $1 OR (r.image_id, r.queue_id, r.params_id) > ($2, $3::integer, $4::bigint)))
