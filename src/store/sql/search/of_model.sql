-- Images of which a model said something, or failed to.
-- $1 the model; $2 the most.
SELECT image_id FROM outcome WHERE queue_id = $1 LIMIT $2
