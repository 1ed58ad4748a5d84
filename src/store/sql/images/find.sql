-- One image for those entitled to it.
-- $1 MD5; $2 the cases of which one must hold it, or null for an administrator: then the newest title of any is told. Of a deleted case the
-- titles go step by step, and nobody sees what it alone held.
SELECT i.id, i.md5, i.sha256, i.bytes, i.media_type, i.width, i.height, i.frames, i.orientation, i.warnings, i.blob,
       t.name, coalesce(t.at, i.created_at) AS uploaded_at, t.case_id,
       ARRAY(SELECT g.tag FROM tag AS g WHERE g.case_id = t.case_id AND g.image_id = i.id ORDER BY g.tag) AS tags
FROM image AS i
LEFT JOIN LATERAL (
  SELECT u.name, u.at, u.case_id FROM upload AS u
  WHERE u.image_id = i.id AND CASE
    WHEN $2::uuid[] IS NOT NULL THEN u.case_id = ANY($2)
    ELSE NOT EXISTS (SELECT FROM casefile AS c WHERE c.id = u.case_id AND c.deleted_at IS NOT NULL OFFSET 0) END
  ORDER BY u.at DESC LIMIT 1
) AS t ON true
WHERE i.md5 = $1 AND (t.name IS NOT NULL OR $2 IS NULL AND NOT EXISTS (SELECT FROM upload AS u WHERE u.image_id = i.id OFFSET 0))
