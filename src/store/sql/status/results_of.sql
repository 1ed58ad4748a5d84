-- The newest success of some models on one image, as in results.sql.
-- $1 its key; $2 names of models.
SELECT o.image_id, q.name AS model, v.name AS version, o.job_id, o.finished_at, o.document
FROM image AS i
JOIN queue AS q ON q.kind = 'model' AND q.name = ANY($2)
CROSS JOIN LATERAL (
  SELECT image_id, version_id, job_id, finished_at, document
  FROM outcome WHERE image_id = i.id AND queue_id = q.id AND version_id > 0 ORDER BY job_id DESC LIMIT 1
) AS o
JOIN model_version AS v ON v.id = o.version_id
WHERE i.md5 = $1
