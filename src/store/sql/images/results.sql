-- Every model × version × params that has answered of an image, newest first.
-- $1 the image; $2 the cases of who asks, who is told only the params that submissions to them asked with, or null for an
-- administrator; $3 the most.
WITH own AS MATERIALIZED (
  SELECT DISTINCT r.queue_id, r.params_id
  -- OFFSET 0: by its image, not through all the submissions that a case has.
  FROM (SELECT * FROM request WHERE image_id = $1 AND $2::uuid[] IS NOT NULL OFFSET 0) AS r JOIN submission AS s ON s.id = r.submission_id
  WHERE s.case_id = ANY($2)
)
SELECT q.name AS model, v.name AS version,
       CASE WHEN $2::uuid[] IS NULL OR EXISTS (SELECT FROM own AS w WHERE w.queue_id = o.queue_id AND w.params_id = o.params_id)
            THEN p.body END AS params,
       o.job_id AS job, o.document AS result, o.finished_at
FROM outcome AS o
JOIN queue AS q ON q.id = o.queue_id
JOIN model_version AS v ON v.id = o.version_id
JOIN params AS p ON p.id = o.params_id
WHERE o.image_id = $1 AND o.version_id > 0
ORDER BY o.finished_at DESC, o.job_id LIMIT $3
