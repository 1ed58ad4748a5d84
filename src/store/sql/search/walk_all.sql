-- The same of all cases, in the terms of their index.
-- $1 and $2 time and image before which to begin; $3 the time from which on a title counts; $4 the most.
SELECT u.at, u.image_id FROM upload AS u
WHERE (u.at AT TIME ZONE 'UTC', u.image_id) < ($1::timestamptz AT TIME ZONE 'UTC', $2) AND u.at AT TIME ZONE 'UTC' >= $3::timestamptz AT TIME ZONE 'UTC'
ORDER BY u.at AT TIME ZONE 'UTC' DESC, u.image_id DESC LIMIT $4
