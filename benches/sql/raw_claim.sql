-- The rows that a claim leaves: session $1 takes the first $3 jobs of model $2; answers their ids and leases.
WITH first AS (
  SELECT j.id FROM job AS j JOIN queue AS q ON q.id = j.queue_id
  WHERE q.name = $2 AND j.state = 'queued' AND j.due AND NOT j.suspect
  ORDER BY j.rank, j.id LIMIT $3 FOR UPDATE OF j SKIP LOCKED
), named AS MATERIALIZED (
  SELECT gen_random_uuid() AS claim_id, clock_timestamp() AS at
), put AS (
  UPDATE job
  SET state = 'running', lease_no = lease_no + 1, attempt = attempt + 1, version = version + 1, session_id = $1, claim_id = n.claim_id,
      started_at = n.at, begun_at = n.at
  FROM first, named AS n
  WHERE job.id = first.id
  RETURNING job.id, queue_id, lease_no, n.claim_id, n.at
), opened AS (
  INSERT INTO claim (session_id, claim_id, queue_id, at, deadline_at, open, jobs)
  SELECT $1, claim_id, queue_id, at, at + interval '10 minutes', count(*), array_agg(id) FROM put GROUP BY claim_id, queue_id, at
)
SELECT id, lease_no::bigint FROM put
