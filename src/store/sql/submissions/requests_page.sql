-- The requests of submissions for the next images of each, by image and model. A withdrawn request counts as cancelled.
-- $1 submissions; $2 the image after which to begin, $3 the most images of each.
SELECT s.id AS submission_id, r.image_id, i.md5, t.name, n.names,
       CASE WHEN r.withdrawn_at IS NOT NULL THEN 'cancelled'
            -- How a job ended never changes: once the request knows it, nobody else is asked.
            ELSE coalesce(r.state, (SELECT j.state FROM job AS j WHERE j.id = r.job_id),
                          (SELECT a.state FROM job_archive AS a WHERE a.id = r.job_id), 'cancelled')::text END AS state
FROM submission AS s
-- From the key alone, which is in order of images.
CROSS JOIN LATERAL (
  SELECT max(image_id) AS last
  FROM (SELECT DISTINCT image_id FROM request WHERE submission_id = s.id AND image_id > $2 ORDER BY image_id LIMIT $3) AS p
) AS p
-- OFFSET 0 keeps each of these a probe by key, whatever the planner takes the rows before to be.
CROSS JOIN LATERAL (
  SELECT * FROM request WHERE submission_id = s.id AND image_id > $2 AND image_id <= p.last OFFSET 0
) AS r
CROSS JOIN LATERAL (SELECT md5 FROM image WHERE id = r.image_id OFFSET 0) AS i
JOIN queue AS q ON q.id = r.queue_id
-- The newest name under which it came to the submission's case.
LEFT JOIN LATERAL (SELECT u.name FROM upload AS u WHERE u.image_id = r.image_id AND u.case_id = s.case_id
                   ORDER BY u.at DESC LIMIT 1) AS t ON true
-- Those under which it came in this submission; a hundred are enough to find the files again.
CROSS JOIN LATERAL (SELECT ARRAY(
    SELECT u.name FROM upload AS u WHERE u.case_id = s.case_id AND u.image_id = r.image_id AND u.submission_id = s.id
    ORDER BY u.name LIMIT 100) AS names) AS n
WHERE s.id = ANY($1)
ORDER BY s.id, r.image_id, q.name, r.params_id
