-- Images that a case gave a tag.
-- $1 cases, null for all; $2 the tag; $3 the most.
SELECT g.image_id
FROM (SELECT unnest($1::uuid[]) UNION ALL SELECT id FROM casefile WHERE $1 IS NULL AND deleted_at IS NULL) AS c (id)
CROSS JOIN LATERAL (SELECT image_id FROM tag WHERE case_id = c.id AND tag = $2 LIMIT $3) AS g
LIMIT $3
