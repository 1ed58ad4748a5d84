-- When the newest title came that these cases hold, each by its index; and how many images they hold, if that is asked.
-- $1 cases; $2 the most images counted, or null.
SELECT CASE WHEN $2::bigint IS NOT NULL THEN (
    SELECT count(*) FROM (SELECT DISTINCT case_id, image_id FROM upload WHERE case_id = ANY($1::uuid[]) LIMIT $2) AS c
  ) END,
  (SELECT max(n.at) FROM unnest($1) AS c (id)
   CROSS JOIN LATERAL (SELECT at FROM upload WHERE case_id = c.id ORDER BY at DESC LIMIT 1) AS n)
