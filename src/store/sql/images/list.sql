-- The images of an account, newest title first: a walk along its titles, each image at its newest.
-- $1 the account; $2 and $3 time and image before which to begin; $4 the most.
SELECT i.id, i.md5, i.sha256, i.bytes, i.media_type, i.width, i.height, i.frames, i.orientation, i.warnings, i.blob,
       t.name, t.at AS uploaded_at
FROM (
  SELECT u.image_id, u.name, u.at FROM upload AS u
  WHERE u.account_id = $1 AND (u.at, u.image_id) < ($2, $3) AND NOT EXISTS (
    SELECT FROM upload AS o WHERE o.account_id = u.account_id AND o.image_id = u.image_id AND (o.at, o.submission_id, o.name) > (u.at, u.submission_id, u.name) OFFSET 0)
  ORDER BY u.at DESC, u.image_id DESC LIMIT $4
) AS t
JOIN image AS i ON i.id = t.image_id
ORDER BY t.at DESC, i.id DESC
