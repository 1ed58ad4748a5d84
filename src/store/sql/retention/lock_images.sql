-- Locks images that may go, and before them the submissions whose counts go with them: locks are taken in that order everywhere.
-- $1 how long images are kept; $2 the image after which to begin; $3 the most.
WITH old AS MATERIALIZED (
  SELECT i.id FROM image AS i
  WHERE i.id > $2 AND i.created_at < (SELECT clock_timestamp()) - $1::interval
    AND NOT EXISTS (SELECT FROM upload AS u WHERE u.image_id = i.id AND u.at >= clock_timestamp() - $1::interval)
    AND NOT EXISTS (SELECT FROM job AS j WHERE j.image_id = i.id)
  ORDER BY i.id LIMIT $3
), counted AS MATERIALIZED (
  -- As forget_images finds them.
  SELECT s.id FROM submission AS s
  WHERE s.tally IS NOT NULL AND s.id IN (SELECT r.submission_id FROM request AS r WHERE r.image_id IN (SELECT id FROM old))
  ORDER BY s.id FOR NO KEY UPDATE
)
SELECT i.id FROM image AS i
WHERE i.id IN (SELECT id FROM old) AND (SELECT count(*) FROM counted) >= 0
ORDER BY i.id FOR UPDATE OF i SKIP LOCKED
