-- The images that look most like one: two hashes of so few different bits agree in one of their four parts but for a few, so that only images
-- are compared of which a part is among these.
-- $1 the hash; $2 the most bits that differ; $3 to $6 values of its four parts, the lowest first; $7 the most.
SELECT image_id, bit_count((phash # $1)::bit(64))::integer AS distance
FROM (
  SELECT image_id, phash FROM derived WHERE (phash & 65535)::integer = ANY($3::integer[])
  UNION SELECT image_id, phash FROM derived WHERE (phash >> 16 & 65535)::integer = ANY($4::integer[])
  UNION SELECT image_id, phash FROM derived WHERE (phash >> 32 & 65535)::integer = ANY($5::integer[])
  UNION SELECT image_id, phash FROM derived WHERE (phash >> 48 & 65535)::integer = ANY($6::integer[])
) AS near
WHERE bit_count((phash # $1)::bit(64)) <= $2
ORDER BY 2, 1 LIMIT $7
