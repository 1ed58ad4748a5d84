-- The tags that cases gave images, with how many images have each, most first.
-- $1 images; $2 cases, null for all; $3 the most.
SELECT g.tag AS name, count(*) AS images
FROM unnest($1::bigint[]) AS a (image_id)
CROSS JOIN LATERAL (
  SELECT DISTINCT t.tag FROM tag AS t WHERE t.image_id = a.image_id AND ($2::uuid[] IS NULL OR t.case_id = ANY($2)) OFFSET 0
) AS g
GROUP BY g.tag ORDER BY images DESC, g.tag LIMIT $3
