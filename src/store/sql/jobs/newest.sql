-- The newest jobs of queues, or of all, live and ended: a walk along their ids.
-- $1 queues, or null for all; $2 the state or null; $3 the reason or null; $4 the id before which to begin; $5 whether only jobs
-- count after which nothing was tried for their image and model, nor is under way; $6 the most.
SELECT j.id
FROM (
  SELECT id, image_id, queue_id, params_id, state, NULL::fail_reason AS reason FROM job
  UNION ALL
  SELECT id, image_id, queue_id, params_id, state, reason FROM job_archive
) AS j
WHERE j.id < $4 AND ($1::integer[] IS NULL OR j.queue_id = ANY($1))
  AND ($2::text IS NULL OR j.state = $2::job_state) AND ($3::text IS NULL OR j.reason::text = $3)
  AND (NOT $5 OR (
    -- Version 0 holds the newest job of its key that ended without success.
    EXISTS (SELECT FROM outcome AS o
            WHERE o.image_id = j.image_id AND o.queue_id = j.queue_id AND o.params_id = j.params_id AND o.version_id = 0 AND o.job_id = j.id)
    AND NOT EXISTS (SELECT FROM outcome AS o WHERE o.image_id = j.image_id AND o.queue_id = j.queue_id AND o.job_id > j.id)
    AND NOT EXISTS (SELECT FROM job AS l WHERE l.image_id = j.image_id AND l.queue_id = j.queue_id AND l.params_id = j.params_id)
  ))
ORDER BY j.id DESC
LIMIT $6
