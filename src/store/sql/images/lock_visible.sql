-- Locks those of the wanted images that who names each may see: until the transaction ends they cannot go.
-- $1 places, $2 MD5s; of each place $3 the cases that are looked into, as the text of an array, or null for an administrator, who sees
-- all, and $4 the case that is to hold what is named there.
SELECT w.place, i.id, i.md5, i.sha256, i.bytes, i.media_type, i.width, i.height, i.frames, i.orientation, i.warnings, i.blob,
       t.name, coalesce(t.at, i.created_at) AS uploaded_at, t.case_id,
       EXISTS (SELECT FROM upload AS h WHERE h.case_id = w.into_case AND h.image_id = i.id) AS held
FROM (
  SELECT a.place, a.md5, ($3::text[])[a.place]::uuid[] AS cases, ($4::uuid[])[a.place] AS into_case
  FROM unnest($1::bigint[], $2::bytea[]) AS a (place, md5)
) AS w
JOIN image AS i ON i.md5 = w.md5
LEFT JOIN LATERAL (SELECT u.name, u.at, u.case_id FROM upload AS u
                   WHERE u.image_id = i.id AND (w.cases IS NULL OR u.case_id = ANY(w.cases))
                   ORDER BY u.at DESC LIMIT 1) AS t ON true
WHERE w.cases IS NULL OR t.name IS NOT NULL
ORDER BY i.md5 FOR SHARE OF i
