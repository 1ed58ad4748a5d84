-- The next requests for one image, newest first, each with the job that answers it.
-- $1 the cases to which it was asked, or null for any; $2 the submission, or null; the request after which to begin: $3 the time and $4 the id of
-- its submission, $6 its queue and $7 params; $8 the queue, or null for all; $9 the most; $5 the image's MD5.
SELECT s.created_at AS at, s.id AS submission, r.image_id AS image, r.queue_id AS queue, r.params_id AS params,
       r.job_id AS job
FROM (
  -- OFFSET 0: by its image, not through all the submissions that a case has.
  SELECT * FROM request
  WHERE image_id = (SELECT id FROM image WHERE md5 = $5) AND ($2::uuid IS NULL OR submission_id = $2) AND ($8::integer IS NULL OR queue_id = $8)
  OFFSET 0
) AS r
JOIN submission AS s ON s.id = r.submission_id
WHERE ($1::uuid[] IS NULL OR s.case_id = ANY($1))
  AND (s.created_at, s.id, r.queue_id, r.params_id) < ($3, $4, $6::integer, $7::bigint)
ORDER BY s.created_at DESC, s.id DESC, r.queue_id DESC, r.params_id DESC
LIMIT $9
