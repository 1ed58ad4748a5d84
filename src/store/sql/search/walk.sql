-- The next titles of some cases, newest first: a walk along the titles of each, merged.
-- $1 cases; $2 and $3 time and image before which to begin; $4 the time from which on a title counts; $5 the most.
SELECT t.at, t.image_id
FROM unnest($1::uuid[]) AS c (id)
CROSS JOIN LATERAL (
  SELECT u.at, u.image_id FROM upload AS u
  WHERE u.case_id = c.id AND (u.at, u.image_id) < ($2, $3) AND u.at >= $4
  ORDER BY u.at DESC, u.image_id DESC LIMIT $5
) AS t
ORDER BY t.at DESC, t.image_id DESC LIMIT $5
