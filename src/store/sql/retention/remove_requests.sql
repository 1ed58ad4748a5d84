-- Removes requests of submissions that may go, and the names under which their images came; answers how many requests went.
-- $1 submissions whose rows are locked; $2 the most requests.
WITH gone AS (
  DELETE FROM request WHERE ctid IN (
    SELECT r.ctid FROM unnest($1::uuid[]) AS s (id) JOIN request AS r ON r.submission_id = s.id
    WHERE NOT EXISTS (SELECT FROM request AS o JOIN job AS j ON j.id = o.job_id WHERE o.submission_id = s.id AND o.state IS NULL)
    LIMIT $2)
  RETURNING submission_id, image_id
), nameless AS (
  DELETE FROM upload AS u
  USING (SELECT DISTINCT s.case_id, g.image_id, g.submission_id FROM gone AS g JOIN submission AS s ON s.id = g.submission_id) AS g
  WHERE u.case_id = g.case_id AND u.image_id = g.image_id AND u.submission_id = g.submission_id
    -- The newest name stays: it is the case's title to the image.
    AND EXISTS (SELECT FROM upload AS o WHERE o.case_id = u.case_id AND o.image_id = u.image_id
                AND (o.at, o.submission_id, o.name) > (u.at, u.submission_id, u.name))
)
SELECT count(*) FROM gone
