-- Images of which a version of a model said something, which it has done since it was registered.
-- $1 the model; $2 the version; $3 when that was; $4 the most.
SELECT image_id FROM outcome WHERE queue_id = $1 AND version_id = $2 AND finished_at >= $3 LIMIT $4
