-- All images, those first that were stored last, each with its newest title in any case.
-- $1 the image before which to begin; $2 the most.
SELECT i.id, i.md5, i.sha256, i.bytes, i.media_type, i.width, i.height, i.frames, i.orientation, i.warnings, i.blob,
       t.name, coalesce(t.at, i.created_at) AS uploaded_at, t.case_id
FROM image AS i
LEFT JOIN LATERAL (SELECT u.name, u.at, u.case_id FROM upload AS u WHERE u.image_id = i.id ORDER BY u.at DESC LIMIT 1) AS t ON true
WHERE i.id < $1
ORDER BY i.id DESC LIMIT $2
