-- How many jobs of queues may be claimed now: what is in line and suspects whose time has come, no more than a limit lets run; and for how many seconds the
-- oldest of those counted has been due.
-- $1 the paths of queues; $2 how far each kind is counted.
SELECT q.path, least(ready.jobs + suspects.jobs, room.jobs) AS jobs,
       CASE WHEN room.jobs = 0 THEN 0 ELSE coalesce(extract(epoch FROM clock_timestamp() - least(ready.since, suspects.since)), 0) END::float8 AS oldest_s
FROM unnest($1::text[]) AS m (path)
JOIN queue AS q ON q.path = m.path AND NOT q.paused AND q.retired_at IS NULL
CROSS JOIN LATERAL (
  SELECT count(*) AS jobs, min(run_at) AS since
  FROM (SELECT j.run_at FROM job AS j
        WHERE j.queue_id = q.id AND j.due AND NOT j.suspect AND j.state = 'queued' AND j.finish_by > clock_timestamp()
        ORDER BY j.rank, j.id LIMIT $2) AS line
) AS ready
CROSS JOIN LATERAL (
  SELECT count(*) AS jobs, min(run_at) AS since
  FROM (SELECT j.run_at FROM job AS j
        WHERE j.queue_id = q.id AND j.suspect AND j.state = 'queued' AND j.run_at <= clock_timestamp() AND j.finish_by > clock_timestamp()
        LIMIT $2) AS alone
) AS suspects
CROSS JOIN LATERAL (
  -- Null without a limit; least() passes over it.
  SELECT CASE WHEN q.max_running IS NOT NULL THEN
    greatest(0, q.max_running - (SELECT coalesce(sum(c.open), 0) FROM claim AS c WHERE c.queue_id = q.id))::bigint END AS jobs
) AS room
