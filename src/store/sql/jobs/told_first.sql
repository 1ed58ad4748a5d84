-- Of jobs that came up with requests, those that submissions to their cases, or to any, have not asked for again since: the others were told there.
-- $1 the cases, or null for any; $2 jobs, with $3 the time and $4 the id of the submission that each came up with.
SELECT w.job
FROM unnest($2::uuid[], $3::timestamptz[], $4::uuid[]) AS w (job, at, submission)
WHERE NOT EXISTS (
  SELECT FROM request AS o
  WHERE o.job_id = w.job AND o.submission_id <> w.submission AND EXISTS (
    SELECT FROM submission AS n
    WHERE n.id = o.submission_id AND ($1::uuid[] IS NULL OR n.case_id = ANY($1)) AND (n.created_at, n.id) > (w.at, w.submission) OFFSET 0)
  OFFSET 0)
