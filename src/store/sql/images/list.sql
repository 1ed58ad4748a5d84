-- Images, newest title first.
-- $1 the account whose titles count, or null for all; $2 and $3 time and image before which to begin, or null; $4 the most.
SELECT i.id, i.md5, i.sha256, i.bytes, i.media_type, i.width, i.height, i.frames, i.orientation, i.warnings, i.blob,
       t.name, t.at AS uploaded_at
FROM (
  SELECT image_id, max(at) AS at, (array_agg(name ORDER BY at DESC))[1] AS name
  FROM upload WHERE $1::uuid IS NULL OR account_id = $1 GROUP BY image_id
) AS t
JOIN image AS i ON i.id = t.image_id
WHERE $2::timestamptz IS NULL OR (t.at, i.id) < ($2, $3)
ORDER BY t.at DESC, i.id DESC LIMIT $4
