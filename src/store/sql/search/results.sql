-- What two versions of a model said of images with the same params: of several params those of the newest job.
-- $1 images; $2 the model; $3 the one version, $4 the other.
SELECT a.place, r.before, r.after
FROM unnest($1::bigint[]) WITH ORDINALITY AS a (image_id, place)
CROSS JOIN LATERAL (
  SELECT o.document::text AS before, n.document::text AS after
  FROM outcome AS n
  CROSS JOIN LATERAL (
    SELECT document FROM outcome
    WHERE image_id = n.image_id AND queue_id = n.queue_id AND params_id = n.params_id AND version_id = $3 OFFSET 0
  ) AS o
  WHERE n.image_id = a.image_id AND n.queue_id = $2 AND n.version_id = $4
  ORDER BY n.job_id DESC LIMIT 1
) AS r
ORDER BY a.place
