-- The live jobs of images, and of what has ended the newest per image and model. In order of id: of an image and model the last
-- one counts.
-- $1 images.
SELECT j.id, j.image_id, q.name AS model, j.version AS job_version, j.state::text AS state, NULL::text AS reason, j.attempt, q.max_attempts,
       -- What its worker last said of the lease that it now has.
       (SELECT (h ->> 'progress')::float8 FROM jsonb_array_elements(s.holds) AS h
        WHERE h ->> 'id' = j.id::text AND h ->> 'lease_no' = j.lease_no::text LIMIT 1) AS progress,
       uuid_v7_at(j.id) AS created_at, j.started_at, CASE WHEN j.state = 'queued' THEN j.run_at END AS run_at,
       NULL::timestamptz AS finished_at, NULL::text AS error_type, NULL::text AS error_message
FROM job AS j
JOIN queue AS q ON q.id = j.queue_id
LEFT JOIN worker_session AS s ON s.id = j.session_id
WHERE j.image_id = ANY($1)
UNION ALL
SELECT o.job_id, o.image_id, q.name, o.job_version, o.state::text, o.reason::text, o.attempt, q.max_attempts, NULL,
       uuid_v7_at(o.job_id), o.started_at, NULL, o.finished_at, o.error ->> 'type', o.error ->> 'message'
FROM (
  -- Whatever its params and version, and whether it succeeded.
  SELECT DISTINCT ON (image_id, queue_id) image_id, queue_id, job_id, job_version, state, reason, attempt, started_at, finished_at, error
  FROM outcome WHERE image_id = ANY($1)
  ORDER BY image_id, queue_id, job_id DESC
) AS o
JOIN queue AS q ON q.id = o.queue_id
ORDER BY 1
