-- The next images, those first that were stored last, each with its newest title in any case that is not deleted, and whether it is shown:
-- not what deleted cases alone hold, whose titles go step by step.
-- $1 the image before which to begin; $2 the most.
SELECT i.id, i.md5, i.sha256, i.bytes, i.media_type, i.width, i.height, i.frames, i.orientation, i.warnings, i.blob,
       t.name, coalesce(t.at, i.created_at) AS uploaded_at, t.case_id,
       t.name IS NOT NULL OR NOT EXISTS (SELECT FROM upload AS u WHERE u.image_id = i.id OFFSET 0) AS shown,
       count(*) OVER () >= $2 AS more
FROM (SELECT * FROM image WHERE id < $1 ORDER BY id DESC LIMIT $2) AS i
LEFT JOIN LATERAL (
  SELECT u.name, u.at, u.case_id FROM upload AS u
  WHERE u.image_id = i.id
    AND NOT EXISTS (SELECT FROM casefile AS c WHERE c.id = u.case_id AND c.deleted_at IS NOT NULL OFFSET 0)
  ORDER BY u.at DESC LIMIT 1
) AS t ON true
ORDER BY i.id DESC
