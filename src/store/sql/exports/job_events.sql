-- What happened to the jobs on images that submissions to a case asked for, in order, each as JSON. Who else asked for them is not told.
-- $1 images; $2 the case.
SELECT row_to_json(t)::text FROM (
  SELECT e.id, e.at, e.code, e.job_id AS job, e.model, e.attempt, e.lease_no, e.worker, e.reason
  FROM audit_events AS e
  WHERE e.job_id = ANY(ARRAY(
    SELECT DISTINCT r.job_id
    FROM (SELECT * FROM request WHERE image_id = ANY($1) OFFSET 0) AS r JOIN submission AS s ON s.id = r.submission_id
    WHERE s.case_id = $2))
  ORDER BY e.id
) AS t
