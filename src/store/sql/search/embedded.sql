-- The embedding by which an image is compared: of the newest result that has one, the first.
-- $1 the image.
SELECT o.queue_id, e.found ->> 'space' AS space, e.found -> 'values' AS vector
FROM outcome AS o
CROSS JOIN LATERAL (SELECT jsonb_path_query_first(o.document, '$.items[*] ? (@.type == "embedding")') AS found OFFSET 0) AS e
WHERE o.image_id = $1 AND o.version_id > 0 AND e.found IS NOT NULL
ORDER BY o.job_id DESC LIMIT 1
