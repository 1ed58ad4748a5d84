-- The rows that a claim leaves: session $1 takes the first $3 jobs of model $2; answers their ids and leases.
WITH first AS (
  SELECT id FROM job WHERE model = $2 AND state = 'queued' AND due ORDER BY rank, id LIMIT $3 FOR UPDATE SKIP LOCKED
), put AS (
  UPDATE job
  SET state = 'running', lease_no = lease_no + 1, attempt = attempt + 1, session_id = $1, claim_id = gen_random_uuid(),
      started_at = clock_timestamp(), begun_at = clock_timestamp(), deadline_at = clock_timestamp() + interval '10 minutes',
      event_id = nextval('job_event_id')
  FROM first
  WHERE job.id = first.id
  RETURNING job.id, model, lease_no, attempt, event_id
), told AS (
  INSERT INTO job_event (id, code, job_id, model, session_id, lease_no, attempt)
  SELECT event_id, 'claimed', id, model, $1, lease_no, attempt FROM put
)
SELECT id, lease_no FROM put
