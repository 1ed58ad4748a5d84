-- An image that others are compared with, if its caller may see it.
-- $1 MD5; $2 cases, null for all.
SELECT i.id, (SELECT d.phash FROM derived AS d WHERE d.image_id = i.id OFFSET 0) AS phash
FROM image AS i
WHERE i.md5 = $1 AND EXISTS (
  SELECT FROM upload AS u
  WHERE u.image_id = i.id AND ($2::uuid[] IS NULL OR u.case_id = ANY($2))
    AND NOT EXISTS (SELECT FROM casefile AS c WHERE c.id = u.case_id AND c.deleted_at IS NOT NULL OFFSET 0) OFFSET 0)
