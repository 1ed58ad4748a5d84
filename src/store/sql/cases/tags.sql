-- The different tags of a case, in order: a step along the index for each, however many images have it. Each is counted up to a limit.
-- $1 case; $2 the most tags; $3 the most images counted of each.
WITH RECURSIVE step AS (
  (SELECT t.tag FROM tag AS t WHERE t.case_id = $1 ORDER BY t.tag LIMIT 1)
  UNION ALL
  SELECT (SELECT t.tag FROM tag AS t WHERE t.case_id = $1 AND t.tag > s.tag ORDER BY t.tag LIMIT 1)
  FROM step AS s WHERE s.tag IS NOT NULL
), found AS (
  SELECT tag FROM step WHERE tag IS NOT NULL LIMIT $2
)
SELECT f.tag, (SELECT count(*) FROM (SELECT FROM tag AS t WHERE t.case_id = $1 AND t.tag = f.tag LIMIT $3) AS n) AS images
FROM found AS f ORDER BY f.tag
