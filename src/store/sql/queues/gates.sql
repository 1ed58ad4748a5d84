-- What decides whether the jobs of each model and dataset can move, retired ones included, with how often they are tried.
-- Running jobs are counted only where a limit makes them matter.
SELECT q.id, q.path, q.paused, q.max_running, q.max_attempts, q.retired_at, q.owner,
       coalesce(w.workers, 0) AS workers,
       CASE WHEN q.max_running IS NULL THEN 0
            ELSE coalesce((SELECT sum(c.open) FROM claim AS c WHERE c.queue_id = q.id), 0) END::bigint AS running
FROM queue AS q
-- Counted in one pass, not for every model.
LEFT JOIN (SELECT queue_id, count(*) AS workers FROM worker_session WHERE ended_at IS NULL AND alive_until > clock_timestamp()
           GROUP BY queue_id) AS w ON w.queue_id = q.id
