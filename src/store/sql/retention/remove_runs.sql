-- Removes those of the locked runs that may still go, with what they measured, their files and what they once became, and writes it down.
-- A run whose lock was waited for may have been promoted meanwhile: that shows only to a statement after the one that locked.
-- $1 how long runs are kept; $2 runs. Answers the run and, a row each, the places of its files; no place where it has none.
WITH gone AS MATERIALIZED (
  SELECT r.job_id, r.queue_id FROM training_run AS r
  WHERE r.job_id = ANY($2) AND NOT EXISTS (
    SELECT FROM promotion AS p JOIN model_version AS v ON v.id = p.version_id JOIN queue AS q ON q.id = v.queue_id
    WHERE p.job_id = r.job_id AND (q.retired_at IS NULL OR q.retired_at >= (SELECT clock_timestamp()) - $1::interval))
), unmeasured AS (
  DELETE FROM training_metric AS m USING gone AS g WHERE m.job_id = g.job_id
), files AS (
  DELETE FROM training_file AS f USING gone AS g WHERE f.job_id = g.job_id RETURNING f.job_id, f.sha256, f.blob
), unpromoted AS (
  DELETE FROM promotion AS p USING gone AS g WHERE p.job_id = g.job_id
), removed AS (
  DELETE FROM training_run AS r USING gone AS g WHERE r.job_id = g.job_id
), told AS (
  INSERT INTO job_event (code, job_id, queue_id) SELECT 'run_removed', job_id, queue_id FROM gone
)
SELECT g.job_id, f.sha256, f.blob FROM gone AS g LEFT JOIN files AS f ON f.job_id = g.job_id
