-- Images from cameras whose name contains something: the names are gone through one by one, and of those that do, the images.
-- $1 and $2 the patterns; $3 the most images; $4 the most names: where there are more, more images than the most are answered, of no use.
WITH RECURSIVE camera (name, place) AS (
  (SELECT lower(camera), 1 FROM derived WHERE camera IS NOT NULL ORDER BY lower(camera) LIMIT 1)
  UNION ALL
  SELECT n.name, c.place + 1
  FROM camera AS c
  CROSS JOIN LATERAL (SELECT lower(camera) AS name FROM derived WHERE camera IS NOT NULL AND lower(camera) > c.name ORDER BY lower(camera) LIMIT 1) AS n
  WHERE c.place < $4
)
(
  SELECT i.image_id
  FROM camera AS c
  CROSS JOIN LATERAL (SELECT image_id FROM derived WHERE camera IS NOT NULL AND lower(camera) = c.name LIMIT $3) AS i
  WHERE c.name LIKE $1 OR c.name LIKE $2 LIMIT $3
)
UNION ALL
(SELECT 0 FROM generate_series(1, $3::bigint) WHERE (SELECT max(place) FROM camera) >= $4)
