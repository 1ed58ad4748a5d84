-- The same of all titles; nothing is counted but those that came shortly before the newest.
-- $1 for how long before it, in seconds, and $2 how many at most.
WITH newest AS (SELECT at AT TIME ZONE 'UTC' AS at FROM upload ORDER BY (at AT TIME ZONE 'UTC') DESC, image_id DESC LIMIT 1)
SELECT NULL::bigint, (SELECT at AT TIME ZONE 'UTC' FROM newest),
       (SELECT count(*) FROM (
          SELECT FROM upload WHERE (at AT TIME ZONE 'UTC') >= (SELECT at FROM newest) - $1::float8 * interval '1 s' LIMIT $2) AS l)
