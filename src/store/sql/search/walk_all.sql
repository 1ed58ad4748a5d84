-- The same of all cases.
-- $1 and $2 time and image before which to begin; $3 the time from which on a title counts; $4 the most.
SELECT u.at, u.image_id FROM upload AS u
WHERE (u.at, u.image_id) < ($1, $2) AND u.at >= $3
ORDER BY u.at DESC, u.image_id DESC LIMIT $4
