-- The labels that the newest results give images, with how many images have each, most first.
-- $1 images; $2 the most.
SELECT s.label AS name, count(*) AS images
FROM unnest($1::bigint[]) AS a (image_id)
CROSS JOIN LATERAL (
  SELECT DISTINCT t.label
  FROM item AS t
  JOIN (
    SELECT DISTINCT ON (o.queue_id) o.queue_id, o.params_id, o.version_id FROM outcome AS o
    WHERE o.image_id = a.image_id AND o.version_id > 0 ORDER BY o.queue_id, o.job_id DESC OFFSET 0
  ) AS n ON n.queue_id = t.queue_id AND n.params_id = t.params_id AND n.version_id = t.version_id
  WHERE t.image_id = a.image_id AND t.label IS NOT NULL AND t.kind NOT IN ('field', 'hash') OFFSET 0
) AS s
GROUP BY s.label ORDER BY images DESC, s.label LIMIT $2
