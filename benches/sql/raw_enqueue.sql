-- The rows that a submission leaves: account $1 asks model $2 for images $3. Nothing is looked up or locked.
WITH opened AS (
  INSERT INTO submission (account_id) VALUES ($1) RETURNING id
), made AS (
  INSERT INTO job (image_id, model, params_hash, run_at, due, finish_by, event_id)
  SELECT image, $2, sha256('{}'), clock_timestamp(), true, clock_timestamp() + interval '30 days', nextval('job_event_id')
  FROM unnest($3::bigint[]) AS image
  RETURNING id, image_id, event_id
), asked AS (
  INSERT INTO request (submission_id, image_id, model, params_hash, job_id, account_id)
  SELECT o.id, m.image_id, $2, sha256('{}'), m.id, $1 FROM made AS m, opened AS o
)
INSERT INTO job_event (id, code, job_id, model, submission_id, account_id)
SELECT m.event_id, 'created', m.id, $2, o.id, $1 FROM made AS m, opened AS o
