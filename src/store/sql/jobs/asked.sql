-- The newest jobs that somebody asked for: through the submissions of an account, one submission, or an image, and so at the
-- cost of what these asked for, however many other jobs there are.
-- $1 the account or null; $2 the submission or null; $3 the image's MD5 or null; $4 queues, or null for all; $5 the state or null;
-- $6 the reason or null; $7 the id before which to begin; $8 whether only jobs count after which nothing was tried for their image
-- and model, nor is under way; $9 the most.
SELECT r.job_id
FROM (
  -- Several submissions may ask for one job. In order before their jobs are looked at, of which the first few are enough.
  SELECT DISTINCT r.job_id
  FROM submission AS s JOIN request AS r ON r.submission_id = s.id
  WHERE ($1::uuid IS NULL OR s.account_id = $1) AND ($2::uuid IS NULL OR s.id = $2)
    AND ($3::bytea IS NULL OR r.image_id = (SELECT id FROM image WHERE md5 = $3))
    AND ($4::integer[] IS NULL OR r.queue_id = ANY($4)) AND r.job_id < $7
  ORDER BY r.job_id DESC
) AS r
CROSS JOIN LATERAL (
  SELECT id, image_id, queue_id, params_id, state, NULL::fail_reason AS reason FROM job WHERE id = r.job_id
  UNION ALL
  SELECT id, image_id, queue_id, params_id, state, reason FROM job_archive WHERE id = r.job_id
) AS j
WHERE ($5::text IS NULL OR j.state = $5::job_state) AND ($6::text IS NULL OR j.reason::text = $6)
  AND (NOT $8 OR (
    -- Version 0 holds the newest job of its key that ended without success.
    EXISTS (SELECT FROM outcome AS o
            WHERE o.image_id = j.image_id AND o.queue_id = j.queue_id AND o.params_id = j.params_id AND o.version_id = 0 AND o.job_id = j.id)
    AND NOT EXISTS (SELECT FROM outcome AS o WHERE o.image_id = j.image_id AND o.queue_id = j.queue_id AND o.job_id > j.id)
    AND NOT EXISTS (SELECT FROM job AS l WHERE l.image_id = j.image_id AND l.queue_id = j.queue_id AND l.params_id = j.params_id)
  ))
ORDER BY r.job_id DESC
LIMIT $9
