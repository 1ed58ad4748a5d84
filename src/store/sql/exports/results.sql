-- Every model × version × params that has answered of images, image by image in the order asked, of each the newest first. Params are
-- told where a submission to the case asked with them.
-- $1 images; $2 the case.
WITH own AS MATERIALIZED (
  SELECT DISTINCT r.image_id, r.queue_id, r.params_id
  FROM (SELECT * FROM request WHERE image_id = ANY($1) OFFSET 0) AS r JOIN submission AS s ON s.id = r.submission_id
  WHERE s.case_id = $2
)
SELECT o.image_id, q.name AS model, v.name AS version, CASE WHEN w.image_id IS NOT NULL THEN p.body END AS params,
       o.job_id, o.started_at, o.finished_at, o.document
FROM unnest($1::bigint[]) WITH ORDINALITY AS t (image_id, place)
JOIN outcome AS o ON o.image_id = t.image_id AND o.version_id > 0
JOIN queue AS q ON q.id = o.queue_id
JOIN model_version AS v ON v.id = o.version_id
JOIN params AS p ON p.id = o.params_id
LEFT JOIN own AS w ON w.image_id = o.image_id AND w.queue_id = o.queue_id AND w.params_id = o.params_id
ORDER BY t.place, o.finished_at DESC, o.job_id DESC
