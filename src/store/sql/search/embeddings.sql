-- The embeddings of images in a space, from the newest result of a model: those of an image in one row.
-- $1 images; $2 the model; $3 the space.
SELECT a.image_id, jsonb_path_query_array(o.document, '$.items[*] ? (@.type == "embedding" && @.space == $space).values',
                                          jsonb_build_object('space', $3::text)) AS vectors
FROM unnest($1::bigint[]) AS a (image_id)
CROSS JOIN LATERAL (
  SELECT document FROM outcome
  WHERE image_id = a.image_id AND queue_id = $2 AND version_id > 0 ORDER BY job_id DESC LIMIT 1
) AS o
