-- Removes the requests of a submission up to a place, and the texts of the tries at images that no other case holds.
-- $1 the case; $2 the submission; the last request: $3 its image, $4 queue and $5 params.
WITH gone AS (
  DELETE FROM request WHERE submission_id = $2 AND (image_id, queue_id, params_id) <= ($3, $4::integer, $5::bigint)
  RETURNING image_id, job_id
)
UPDATE attempt AS t SET error_type = NULL, error_message = NULL, traceback = NULL
FROM gone AS g
WHERE t.job_id = g.job_id AND NOT EXISTS (SELECT FROM upload AS u WHERE u.image_id = g.image_id AND u.case_id <> $1)
