-- Locks images, and before them the submissions whose counts go with them: locks are taken in that order everywhere. Passes over those
-- that somebody is busy with.
-- $1 images.
WITH counted AS MATERIALIZED (
  -- As forget_images finds them.
  SELECT s.id FROM submission AS s
  WHERE s.tally IS NOT NULL AND s.id IN (SELECT r.submission_id FROM request AS r WHERE r.image_id = ANY($1))
  ORDER BY s.id FOR NO KEY UPDATE
)
SELECT i.id FROM image AS i
WHERE i.id = ANY($1) AND (SELECT count(*) FROM counted) >= 0
ORDER BY i.id FOR UPDATE OF i SKIP LOCKED
