-- Jobs made or claimed since $1: their model, from when each could be claimed, and when it was (now, if it still
-- waits). Only first leases: a job that went back was not claimable all the time.
SELECT model, greatest(created_at, run_at), coalesce(started_at, clock_timestamp())
FROM audit_jobs
WHERE ((state = 'queued' AND lease_no = 0) OR (state <> 'queued' AND lease_no = 1))
  AND coalesce(started_at, clock_timestamp()) >= $1
