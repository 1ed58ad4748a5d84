-- Cases that are not deleted, newest first, each with its images counted up to a limit.
-- $1 cases, or null for all; $2 the case before which to begin; $3 the most; $4 the most images counted of each.
SELECT c.id, c.name, c.description, c.own_of, c.created_at, c.closed_at, i.images
FROM (
  SELECT * FROM casefile
  WHERE deleted_at IS NULL AND ($1::uuid[] IS NULL OR id = ANY($1)) AND id < $2
  ORDER BY id DESC LIMIT $3
) AS c
CROSS JOIN LATERAL (
  SELECT count(*) AS images FROM (
    -- A range of one case: only the key has this order, so that no index of all images is walked for those of a small case.
    SELECT DISTINCT case_id, image_id FROM upload WHERE case_id >= c.id AND case_id <= c.id ORDER BY case_id, image_id LIMIT $4
  ) AS u
) AS i
ORDER BY c.id DESC
