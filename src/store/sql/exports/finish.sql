-- Writes down where a held export lies, if it is still held; answers whether it was.
-- $1 export; $2 until when it was held; $3 bytes, $4 SHA-256, $5 blob; $6 for how long it is kept, in seconds.
UPDATE export
SET state = 'succeeded', build_at = NULL, images = coalesce(images, 0), images_done = coalesce(images, 0), bytes = $3, sha256 = $4, blob = $5,
    finished_at = clock_timestamp(), expires_at = clock_timestamp() + $6 * interval '1 s'
WHERE id = $1 AND build_at = $2
