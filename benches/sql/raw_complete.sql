-- The rows that completions leave: session $1 ends jobs $2 under leases $3 with documents $4. Found by id, as the
-- server finds them.
WITH gone AS (
  DELETE FROM job
  USING unnest($2::uuid[], $3::bigint[], $4::text[]) AS t (id, lease_no, document)
  WHERE job.id = t.id
  RETURNING job.*, t.document::jsonb AS document, clock_timestamp() AS at
), counted AS (
  UPDATE claim AS c SET open = c.open - n.jobs
  FROM (SELECT claim_id, count(*) AS jobs FROM gone GROUP BY claim_id) AS n WHERE c.session_id = $1 AND c.claim_id = n.claim_id
), archived AS (
  INSERT INTO job_archive (id, image_id, params_id, run_at, finish_by, started_at, finished_at, queue_id, lease_no, version, version_id,
         state, duration_s, priority, attempt, deaths, submission_id, account_id, session_id)
  SELECT id, image_id, params_id, run_at, finish_by, started_at, at, queue_id, lease_no, version + 1, 1,
         'succeeded', 0.1, priority, attempt, deaths, submission_id, account_id, $1
  FROM gone
)
INSERT INTO outcome (image_id, params_id, started_at, finished_at, queue_id, version_id, job_version, state, attempt, job_id, document)
SELECT image_id, params_id, started_at, at, queue_id, 1, version + 1, 'succeeded', attempt, id, document FROM gone
