-- The requests of submissions for the next images of each, by image and model. A withdrawn request counts as cancelled.
-- $1 submissions; $2 the image after which to begin, $3 the most images of each.
SELECT s.id AS submission_id, r.image_id, i.md5, t.name, n.names,
       CASE WHEN r.withdrawn_at IS NOT NULL THEN 'cancelled' ELSE coalesce(r.state, j.state, a.state, 'cancelled')::text END AS state
FROM submission AS s
-- From the key alone, which is in order of images.
CROSS JOIN LATERAL (SELECT DISTINCT image_id FROM request WHERE submission_id = s.id AND image_id > $2 ORDER BY image_id LIMIT $3) AS p
JOIN request AS r ON r.submission_id = s.id AND r.image_id = p.image_id
JOIN image AS i ON i.id = r.image_id
JOIN queue AS q ON q.id = r.queue_id
LEFT JOIN job AS j ON j.id = r.job_id
-- How a job ended never changes: once the request knows it, nobody else is asked.
LEFT JOIN job_archive AS a ON a.id = r.job_id AND r.state IS NULL
-- The newest name under which the owner of the submission uploaded it.
LEFT JOIN LATERAL (SELECT u.name FROM upload AS u WHERE u.image_id = r.image_id AND u.account_id = s.account_id
                   ORDER BY u.at DESC LIMIT 1) AS t ON true
-- Those under which it came in this submission; a hundred are enough to find the files again.
CROSS JOIN LATERAL (SELECT ARRAY(
    SELECT u.name FROM upload AS u WHERE u.account_id = s.account_id AND u.image_id = r.image_id AND u.submission_id = s.id
    ORDER BY u.name LIMIT 100) AS names) AS n
WHERE s.id = ANY($1)
ORDER BY s.id, r.image_id, q.name, r.params_id
