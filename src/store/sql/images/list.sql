-- The images that cases hold, newest title first: a walk along the titles of each case, each image at its newest among all of them.
-- $1 the cases; $2 and $3 time and image before which to begin; $4 the most.
SELECT i.id, i.md5, i.sha256, i.bytes, i.media_type, i.width, i.height, i.frames, i.orientation, i.warnings, i.blob,
       t.name, t.at AS uploaded_at, t.case_id
FROM (
  SELECT w.*
  FROM unnest($1::uuid[]) AS c (id)
  CROSS JOIN LATERAL (
    SELECT u.case_id, u.image_id, u.name, u.at FROM upload AS u
    WHERE u.case_id = c.id AND (u.at, u.image_id) < ($2, $3) AND NOT EXISTS (
      SELECT FROM upload AS o
      WHERE o.case_id = ANY($1) AND o.image_id = u.image_id
        AND (o.at, o.case_id, o.submission_id, o.name) > (u.at, u.case_id, u.submission_id, u.name) OFFSET 0)
    ORDER BY u.at DESC, u.image_id DESC LIMIT $4
  ) AS w
  ORDER BY w.at DESC, w.image_id DESC LIMIT $4
) AS t
-- OFFSET 0 keeps it a probe by key, however many titles the planner expects.
CROSS JOIN LATERAL (SELECT * FROM image WHERE id = t.image_id OFFSET 0) AS i
ORDER BY t.at DESC, i.id DESC
