-- When the newest title came that these cases hold, by their index; how many came shortly before it, as what was written late shows there
-- alone; and how many images they hold, if that is asked.
-- $1 cases; $2 the most images counted, or null; $3 the most titles looked at for that, as one image may have a million; $4 for how long
-- before the newest, in seconds, and $5 how many at most are counted.
WITH newest AS (
  SELECT max(n.at) AS at FROM unnest($1::uuid[]) AS c (id)
  CROSS JOIN LATERAL (SELECT at FROM upload WHERE case_id = c.id ORDER BY at DESC LIMIT 1) AS n
)
SELECT CASE WHEN $2::bigint IS NOT NULL THEN (
    SELECT count(*) FROM (
      SELECT DISTINCT case_id, image_id FROM (
        SELECT case_id, image_id FROM upload WHERE case_id = ANY($1) ORDER BY case_id, image_id LIMIT $3
      ) AS t LIMIT $2) AS i
  ) END,
  n.at,
  (SELECT count(*) FROM (
     SELECT FROM unnest($1) AS c (id)
     CROSS JOIN LATERAL (SELECT FROM upload WHERE case_id = c.id AND at >= n.at - $4::float8 * interval '1 s' LIMIT $5) AS u LIMIT $5) AS l)
FROM newest AS n
