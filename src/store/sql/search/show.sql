-- What is shown of images that were found, in the order asked: by their titles, which may have gone meanwhile.
-- $1 images, $2 cases, $3 submissions, $4 names.
SELECT i.md5, u.name, u.case_id, u.at AS uploaded_at, a.name AS by, i.media_type, i.bytes, i.width, i.height, i.orientation,
       ARRAY(SELECT g.tag FROM tag AS g WHERE g.case_id = u.case_id AND g.image_id = u.image_id ORDER BY g.tag) AS tags,
       d.taken_at, d.camera, d.placeholder, t.place
FROM unnest($1::bigint[], $2::uuid[], $3::uuid[], $4::text[]) WITH ORDINALITY AS t (image_id, case_id, submission_id, name, place)
CROSS JOIN LATERAL (
  SELECT * FROM upload
  WHERE case_id = t.case_id AND image_id = t.image_id AND submission_id = t.submission_id AND name = t.name OFFSET 0
) AS u
CROSS JOIN LATERAL (SELECT * FROM image WHERE id = u.image_id OFFSET 0) AS i
CROSS JOIN LATERAL (SELECT name FROM account WHERE id = u.account_id OFFSET 0) AS a
LEFT JOIN LATERAL (SELECT taken_at, camera, placeholder FROM derived WHERE image_id = u.image_id OFFSET 0) AS d ON true
ORDER BY t.place
