-- The rows that completions leave: session $1 ends jobs $2 under leases $3 with documents $4. Found by id, as the
-- server finds them.
WITH gone AS (
  DELETE FROM job
  USING unnest($2::uuid[], $3::bigint[], $4::text[]) AS t (id, lease_no, document)
  WHERE job.id = t.id
  RETURNING job.*, t.document::jsonb AS document, nextval('job_event_id') AS new_event, clock_timestamp() AS at
), archived AS (
  INSERT INTO job_archive (id, image_id, model, params_hash, state, priority, run_at, finish_by, attempt, deaths,
         lease_no, session_id, version, duration_s, started_at, event_id, created_at, finished_at)
  SELECT id, image_id, model, params_hash, 'succeeded', priority, run_at, finish_by, attempt, deaths,
         lease_no, $1, 'v1', 0.1, started_at, new_event, created_at, at
  FROM gone
), kept AS (
  INSERT INTO result (image_id, model, params_hash, version, job_id, document, finished_at)
  SELECT image_id, model, params_hash, 'v1', id, document, at FROM gone
), shown AS (
  INSERT INTO image_model (image_id, model, job_id, state, attempt, event_id, created_at, started_at, finished_at,
         success_job, success_params_hash, success_version)
  SELECT image_id, model, id, 'succeeded', attempt, new_event, created_at, started_at, at, id, params_hash, 'v1'
  FROM gone
)
INSERT INTO job_event (id, at, code, job_id, model, session_id, lease_no, attempt)
SELECT new_event, at, 'succeeded', id, model, $1, lease_no, attempt FROM gone
