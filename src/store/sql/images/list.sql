-- The images of the next titles of cases, newest title first: a walk along the titles of each case. An image is shown at its newest title
-- among all of them; of the others the last is told all the same, which says how far the walk came.
-- $1 the cases; $2 and $3 time and image before which to begin; $4 the most titles, but for what is of the time and image of the last.
WITH walked AS MATERIALIZED (
  SELECT w.*
  FROM unnest($1::uuid[]) AS c (id)
  CROSS JOIN LATERAL (
    SELECT u.case_id, u.image_id, u.submission_id, u.name, u.at FROM upload AS u
    WHERE u.case_id = c.id AND (u.at, u.image_id) < ($2, $3)
    ORDER BY u.at DESC, u.image_id DESC FETCH FIRST $4 ROWS WITH TIES
  ) AS w
  ORDER BY w.at DESC, w.image_id DESC FETCH FIRST $4 ROWS WITH TIES
), judged AS (
  SELECT w.*, row_number() OVER (ORDER BY w.at DESC, w.image_id DESC) AS no, count(*) OVER () AS titles, NOT EXISTS (
    SELECT FROM upload AS o
    WHERE o.case_id = ANY($1) AND o.image_id = w.image_id
      AND (o.at, o.case_id, o.submission_id, o.name) > (w.at, w.case_id, w.submission_id, w.name) OFFSET 0) AS shown
  FROM walked AS w
)
SELECT i.id, i.md5, i.sha256, i.bytes, i.media_type, i.width, i.height, i.frames, i.orientation, i.warnings, i.blob,
       t.name, t.at AS uploaded_at, t.case_id, t.shown, t.titles >= $4 AS more
FROM (SELECT * FROM judged WHERE shown OR no = titles) AS t
-- OFFSET 0 keeps it a probe by key, however many titles the planner expects.
CROSS JOIN LATERAL (SELECT * FROM image WHERE id = t.image_id OFFSET 0) AS i
ORDER BY t.no
