-- Images of which some job of a model, or of any, ended without success.
-- $1 the model, or null; $2 the most.
(SELECT image_id FROM outcome WHERE version_id = 0 AND queue_id = $1 LIMIT $2)
UNION ALL
(SELECT image_id FROM outcome WHERE version_id = 0 AND $1::integer IS NULL ORDER BY queue_id, image_id LIMIT $2)
LIMIT $2
