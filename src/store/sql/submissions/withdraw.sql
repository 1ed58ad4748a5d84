-- Withdraws requests for jobs whose rows are locked, and writes it down.
-- $1 jobs; $2 the account that does; $3 the submission, or null; $4 the cases to whose submissions they belong, or null.
WITH gone AS (
  UPDATE request AS r SET withdrawn_at = clock_timestamp()
  FROM submission AS s
  WHERE r.job_id = ANY($1) AND r.withdrawn_at IS NULL AND s.id = r.submission_id
    AND ($3::uuid IS NULL OR s.id = $3) AND ($4::uuid[] IS NULL OR s.case_id = ANY($4))
  RETURNING r.job_id, r.submission_id
)
INSERT INTO job_event (code, job_id, version, queue_id, submission_id, account_id)
SELECT 'withdrawn', j.id, j.version, j.queue_id, g.submission_id, $2 FROM gone AS g JOIN job AS j ON j.id = g.job_id
