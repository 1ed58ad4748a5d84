-- The newest job of each model on images, where that did not succeed, or not yet.
-- $1 images.
SELECT n.image_id, q.name AS model, n.id AS job, n.state::text AS state, n.reason::text AS reason, n.error ->> 'type' AS error_type,
       n.error ->> 'message' AS error_message, uuid_v7_at(n.id) AS created_at, n.finished_at
FROM (
  SELECT DISTINCT ON (j.image_id, j.queue_id) j.* FROM (
    SELECT image_id, queue_id, id, state, NULL::fail_reason AS reason, NULL::jsonb AS error, NULL::timestamptz AS finished_at
    FROM job WHERE image_id = ANY($1)
    UNION ALL
    SELECT image_id, queue_id, job_id, state, reason, error, finished_at FROM outcome WHERE image_id = ANY($1)
  ) AS j ORDER BY j.image_id, j.queue_id, j.id DESC
) AS n
JOIN queue AS q ON q.id = n.queue_id
WHERE n.state <> 'succeeded'
ORDER BY n.image_id, q.name
