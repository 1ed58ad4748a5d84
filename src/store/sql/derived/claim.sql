-- Takes an image of which is to be worked out what can be known without a model: the newest that nobody is at. It is held until
-- `held_until`; whoever holds it then no more has lost it to others.
-- $1 for how long, in seconds.
UPDATE image SET derive_at = clock_timestamp() + $1 * interval '1 s', derive_tries = least(derive_tries, 9999) + 1
WHERE id = (SELECT i.id FROM image AS i WHERE i.derive_at <= (SELECT clock_timestamp())
            ORDER BY i.derive_at DESC LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED)
RETURNING id AS image_id, sha256, blob, bytes, media_type, orientation, derive_tries AS tries, derive_at AS held_until
