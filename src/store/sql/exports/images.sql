-- What is told of images that a case holds, but for their results, in the order asked; of one that it does not hold any more nothing.
-- $1 images; $2 the case; $3 the most names, and the most notes, of each.
SELECT i.id AS image_id, i.blob, encode(i.md5, 'hex') AS md5, encode(i.sha256, 'hex') AS sha256, i.bytes, i.media_type, i.width, i.height, i.frames,
       i.orientation, i.warnings, n.names, g.tags, w.notes,
       CASE WHEN d.image_id IS NOT NULL THEN json_build_object(
         'taken_at', d.taken_at, 'camera', d.camera, 'lens', d.lens, 'latitude', d.latitude, 'longitude', d.longitude,
         'phash', lpad(to_hex(d.phash), 16, '0')) END AS derived
FROM unnest($1::bigint[]) WITH ORDINALITY AS t (image_id, place)
JOIN image AS i ON i.id = t.image_id
LEFT JOIN derived AS d ON d.image_id = i.id
CROSS JOIN LATERAL (
  SELECT json_agg(json_build_object('name', u.name, 'by', a.name, 'submission', u.submission_id, 'uploaded_at', u.at)
                  ORDER BY u.at DESC, u.submission_id DESC, u.name) AS names
  FROM (SELECT * FROM upload WHERE case_id = $2 AND image_id = i.id ORDER BY at DESC, submission_id DESC, name LIMIT $3) AS u
  JOIN account AS a ON a.id = u.account_id
) AS n
CROSS JOIN LATERAL (
  SELECT coalesce(json_agg(json_build_object('tag', g.tag, 'by', a.name, 'at', g.at) ORDER BY g.tag), '[]') AS tags
  FROM tag AS g JOIN account AS a ON a.id = g.account_id
  WHERE g.case_id = $2 AND g.image_id = i.id
) AS g
CROSS JOIN LATERAL (
  SELECT coalesce(json_agg(json_build_object('id', w.id, 'by', a.name, 'text', w.text, 'at', w.at) ORDER BY w.id DESC), '[]') AS notes
  FROM (SELECT * FROM note WHERE image_id = i.id AND case_id = $2 ORDER BY id DESC LIMIT $3) AS w
  JOIN account AS a ON a.id = w.account_id
) AS w
WHERE n.names IS NOT NULL
ORDER BY t.place
