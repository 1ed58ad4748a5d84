-- The newest success of every model on images: that of the newest job, whatever its params and version.
-- $1 images.
SELECT o.image_id, q.name AS model, v.name AS version, o.job_id, o.finished_at, o.document
FROM (
  SELECT DISTINCT ON (image_id, queue_id) image_id, queue_id, version_id, job_id, finished_at, document
  FROM outcome WHERE image_id = ANY($1) AND version_id > 0
  ORDER BY image_id, queue_id, job_id DESC
) AS o
JOIN queue AS q ON q.id = o.queue_id
JOIN model_version AS v ON v.id = o.version_id
