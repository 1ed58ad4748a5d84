-- Takes the texts from the tries of old jobs that have ended. The rows stay as long as their jobs: the audit tells claims by them.
-- $1 how long texts are kept; $2 the most.
UPDATE attempt AS t SET error_type = NULL, error_message = NULL, traceback = NULL
FROM (
  SELECT a.job_id, a.lease_no FROM attempt AS a
  WHERE a.job_id < (SELECT uuid_v7_floor(clock_timestamp() - $1::interval))
    AND (a.error_type IS NOT NULL OR a.error_message IS NOT NULL OR a.traceback IS NOT NULL)
    AND NOT EXISTS (SELECT FROM job AS j WHERE j.id = a.job_id)
  ORDER BY a.job_id LIMIT $2
) AS old
WHERE t.job_id = old.job_id AND t.lease_no = old.lease_no
