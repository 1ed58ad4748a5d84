-- Removes the titles of a case to images, and its tags and notes on them; answers how many.
-- $1 the case; $2 images.
WITH titles AS (
  DELETE FROM upload WHERE case_id = $1 AND image_id = ANY($2) RETURNING 1
), tags AS (
  DELETE FROM tag WHERE case_id = $1 AND image_id = ANY($2) RETURNING 1
), notes AS (
  DELETE FROM note WHERE case_id = $1 AND image_id = ANY($2) RETURNING 1
)
SELECT (SELECT count(*) FROM titles) AS titles, (SELECT count(*) FROM tags) AS tags, (SELECT count(*) FROM notes) AS notes
