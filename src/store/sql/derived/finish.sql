-- Writes down what was worked out of an image, if it is still held, and answers that; then also which thumbnails it had before, which
-- nobody names any more.
-- $1 image; $2 until when it was held; $3 and so on the columns of `derived`.
WITH held AS MATERIALIZED (
  UPDATE image SET derive_at = NULL, derive_tries = 0 WHERE id = $1 AND derive_at = $2 RETURNING id
), put AS (
  INSERT INTO derived (image_id, state, error, taken_at, camera, lens, latitude, longitude, phash, placeholder,
                       thumbs_sha256, thumbs_blob, thumbs_ends)
  SELECT id, $3::text, $4::text, $5::timestamp, $6::text, $7::text, $8::float8, $9::float8, $10::bigint, $11::bytea,
         $12::bytea, $13::uuid, $14::integer[]
  FROM held
  ON CONFLICT ON CONSTRAINT derived_pkey DO UPDATE SET
    state = excluded.state, error = excluded.error, taken_at = excluded.taken_at, camera = excluded.camera, lens = excluded.lens,
    latitude = excluded.latitude, longitude = excluded.longitude, phash = excluded.phash, placeholder = excluded.placeholder,
    thumbs_sha256 = excluded.thumbs_sha256, thumbs_blob = excluded.thumbs_blob, thumbs_ends = excluded.thumbs_ends, at = excluded.at
)
-- As it was before this statement.
SELECT d.thumbs_sha256 AS sha256, d.thumbs_blob AS blob FROM held LEFT JOIN derived AS d ON d.image_id = held.id
