-- Datasets by name, with what is going on around them.
-- $1 one of them, whether anybody serves it or not, or null for those that a live service trains on; $2 the name after which to begin;
-- $3 the most.
SELECT q.id, q.name, q.path, q.owner, a.name AS owner_name, q.description, q.tags, q.params_schema, q.last_version, q.paused,
       q.max_attempts, q.backoff_base_s, q.backoff_cap_s, q.retry_budget_s, q.deadline_s, q.retired_at, w.workers,
       (SELECT count(*) FROM job AS j WHERE j.queue_id = q.id AND j.due AND NOT j.suspect AND j.state = 'queued')
         + (SELECT count(*) FROM job AS j WHERE j.queue_id = q.id AND j.suspect AND j.state = 'queued')
         + (SELECT count(*) FROM job AS j WHERE j.queue_id = q.id AND NOT j.due) AS queued,
       coalesce((SELECT sum(c.open) FROM claim AS c WHERE c.queue_id = q.id), 0)::bigint AS running
FROM queue AS q
LEFT JOIN account AS a ON a.id = q.owner
CROSS JOIN LATERAL (
  SELECT count(*) AS workers FROM worker_session AS s
  WHERE s.queue_id = q.id AND s.ended_at IS NULL AND s.alive_until > clock_timestamp()
) AS w
WHERE q.kind = 'dataset' AND q.name > $2 AND CASE WHEN $1::text IS NULL THEN q.retired_at IS NULL AND w.workers > 0 ELSE q.name = $1 END
ORDER BY q.name LIMIT $3
