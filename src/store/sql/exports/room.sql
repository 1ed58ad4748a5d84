-- How many images, from the first on, have room together for what is told of them: those before which less than the most is. Results count
-- as they are stored, notes by their texts, names by some more than themselves.
-- $1 images; $2 the case; $3 the most bytes.
SELECT count(*) FROM (
  SELECT sum(o.bytes + w.bytes + u.bytes) OVER (ORDER BY t.place) - (o.bytes + w.bytes + u.bytes) AS before
  FROM unnest($1::bigint[]) WITH ORDINALITY AS t (image_id, place)
  CROSS JOIN LATERAL (
    SELECT coalesce(sum(pg_column_size(document)), 0) AS bytes FROM outcome WHERE image_id = t.image_id AND version_id > 0
  ) AS o
  CROSS JOIN LATERAL (
    SELECT coalesce(sum(octet_length(text)), 0) AS bytes FROM note WHERE image_id = t.image_id AND case_id = $2
  ) AS w
  CROSS JOIN LATERAL (
    SELECT coalesce(sum(octet_length(name) + 100), 0) AS bytes FROM upload WHERE image_id = t.image_id AND case_id = $2
  ) AS u
) AS s
WHERE before <= $3
