-- The next requests of the submissions to cases, or of one submission, newest first, each with the job that answers it. A walk along the
-- submissions of each case, that stops when it has enough.
-- $1 the cases, or null for any where a submission is named; $2 the submission, or null; the request after which to begin: $3 the time and
-- $4 the id of its submission, $5 its image, $6 queue and $7 params; $8 the queue, or null for all; $9 the most.
SELECT s.created_at AS at, s.id AS submission, coalesce(r.image_id, -9223372036854775808) AS image, coalesce(r.queue_id, 0) AS queue,
       coalesce(r.params_id, 0) AS params,
       CASE WHEN $8::integer IS NULL OR r.queue_id = $8 THEN r.job_id END AS job
FROM (
  SELECT id, created_at FROM submission
  WHERE id = $2 AND ($1::uuid[] IS NULL OR case_id = ANY($1)) AND (created_at, id) <= ($3, $4)
  UNION ALL
  SELECT w.*
  FROM unnest($1::uuid[]) AS c (id)
  CROSS JOIN LATERAL (
    SELECT id, created_at FROM submission
    WHERE $2::uuid IS NULL AND case_id = c.id AND (created_at, id) <= ($3, $4)
    ORDER BY created_at DESC, id DESC LIMIT $9
  ) AS w
  ORDER BY created_at DESC, id DESC OFFSET 0
) AS s
-- One without requests is a step as well, so that the walk is bounded.
LEFT JOIN LATERAL (
  SELECT image_id, queue_id, params_id, job_id FROM request
  WHERE submission_id = s.id
    AND (image_id, queue_id, params_id) < (CASE WHEN s.id = $4 THEN $5::bigint ELSE 9223372036854775807 END, $6::integer, $7::bigint)
  ORDER BY image_id DESC, queue_id DESC, params_id DESC
) AS r ON true
LIMIT $9
