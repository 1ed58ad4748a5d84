-- Makes a run and its job, unless the account has asked for one under this submission before.
-- $1 account, $2 the dataset's queue, $3 params, $4 the submission or null, $5 priority, $6 seconds after which it expires, $7 the ended
-- run that it tries again or null.
WITH run AS (
  INSERT INTO training_run (job_id, account_id, queue_id, params_id, submission_id, retry_of)
  VALUES (uuid_v7(), $1, $2, $3, $4, $7)
  ON CONFLICT ON CONSTRAINT training_run_submission_key DO NOTHING
  RETURNING job_id
)
INSERT INTO job (id, run_id, params_id, run_at, finish_by, queue_id, priority, due, submission_id, account_id, retry_of)
SELECT r.job_id, r.job_id, $3, now.at, now.at + interval '1 s' * $6, $2, $5, true, $4, $1, $7
FROM run AS r, (SELECT clock_timestamp() AS at) AS now
RETURNING id, rank
