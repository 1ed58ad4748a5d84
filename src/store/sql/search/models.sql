-- The models of which images have results, with how many images each has, most first.
-- $1 images; $2 the most.
SELECT q.name, count(*) AS images
FROM unnest($1::bigint[]) AS a (image_id)
CROSS JOIN LATERAL (SELECT DISTINCT queue_id FROM outcome WHERE image_id = a.image_id AND version_id > 0 OFFSET 0) AS o
JOIN queue AS q ON q.id = o.queue_id
GROUP BY q.name ORDER BY images DESC, q.name LIMIT $2
