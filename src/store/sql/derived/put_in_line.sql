-- Puts images in line to be worked out, behind all that are newer; those that others have locked are left out, so that it waits for
-- nobody and nobody for it in turn. Answers the last image looked at, and how many were put in line.
-- $1 the image after which to begin; $2 the most; $3 what has become of them so far: `none`, `failed`, `done`.
WITH page AS MATERIALIZED (
  SELECT i.id FROM image AS i WHERE i.id > $1 ORDER BY i.id LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED
), put AS (
  UPDATE image AS i SET derive_at = i.created_at, derive_tries = 0
  FROM page WHERE i.id = page.id AND i.derive_at IS NULL
    AND coalesce((SELECT d.state FROM derived AS d WHERE d.image_id = i.id), 'none') = ANY($3::text[])
  RETURNING i.id
)
SELECT (SELECT max(id) FROM page) AS last, (SELECT count(*) FROM put) AS put
