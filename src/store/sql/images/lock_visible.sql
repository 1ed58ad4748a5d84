-- Locks those of the wanted images that the account of each has a title to: until the transaction ends they cannot go.
-- $1 places, $2 MD5s, $3 the accounts, null for an administrator: then the newest title of anybody is told.
SELECT w.place, i.id, i.md5, i.sha256, i.bytes, i.media_type, i.width, i.height, i.frames, i.orientation, i.warnings, i.blob,
       t.name, coalesce(t.at, i.created_at) AS uploaded_at
FROM unnest($1::bigint[], $2::bytea[], $3::uuid[]) AS w (place, md5, account_id)
JOIN image AS i ON i.md5 = w.md5
LEFT JOIN LATERAL (SELECT u.name, u.at FROM upload AS u
                   WHERE u.image_id = i.id AND (w.account_id IS NULL OR u.account_id = w.account_id)
                   ORDER BY u.at DESC LIMIT 1) AS t ON true
WHERE w.account_id IS NULL OR t.name IS NOT NULL
ORDER BY i.md5 FOR SHARE OF i
