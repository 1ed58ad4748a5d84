-- Models by name, with what is going on around them.
-- $1 names, or null for all; $2 the name after which to begin; $3 whether retired ones count; $4 the most; $5 how far the due jobs
-- of one model are counted, and those of all that are for later: along an index, however long the line is; $6 the bytes of what
-- registrations said after which the page ends.
WITH RECURSIVE page AS (
  -- Name by name, so that what has no room on the page is not even read.
  SELECT $2::text AS name, 0::bigint AS bytes, 0 AS place
  UNION ALL
  SELECT n.name, p.bytes + n.bytes, p.place + 1
  FROM page AS p CROSS JOIN LATERAL (
    SELECT q.name, octet_length(q.description) + octet_length(q.tags::text) + octet_length(q.labels::text)
                   + coalesce(octet_length(q.params_schema::text), 0)
                   + coalesce((SELECT sum(octet_length(s.label)) FROM seen_label AS s WHERE s.queue_id = q.id), 0)
                   + coalesce((SELECT octet_length(v.result_schema::text) FROM model_version AS v
                               WHERE v.queue_id = q.id AND v.name = q.last_version), 0) AS bytes
    FROM queue AS q
    WHERE q.kind = 'model' AND ($1::text[] IS NULL OR q.name = ANY($1)) AND q.name > p.name AND ($3 OR q.retired_at IS NULL)
    ORDER BY q.name LIMIT 1
  ) AS n
  WHERE p.place < $4 AND p.bytes < $6
), later AS MATERIALIZED (
  -- They have no index by queue, so those of all that come next are counted in one pass.
  SELECT queue_id, count(*) AS jobs FROM (SELECT queue_id FROM job WHERE NOT due ORDER BY run_at LIMIT $5) AS l GROUP BY queue_id
), held AS MATERIALIZED (
  SELECT queue_id, sum(open) AS jobs FROM claim GROUP BY queue_id
)
SELECT q.id, q.name, q.owner, a.name AS owner_name, q.description, q.tags,
       q.labels || ARRAY(SELECT label FROM seen_label WHERE queue_id = q.id EXCEPT SELECT unnest(q.labels) ORDER BY 1) AS labels, q.params_schema,
       (SELECT v.result_schema FROM model_version AS v WHERE v.queue_id = q.id AND v.name = q.last_version) AS result_schema, q.last_version, q.served_by,
       q.paused,
       q.max_running, q.max_attempts, q.backoff_base_s, q.backoff_cap_s, q.retry_budget_s, q.deadline_s, q.retired_at, q.created_at, p.bytes,
       coalesce(cardinality(s.versions), 0)::bigint AS workers,
       coalesce((SELECT array_agg(DISTINCT v ORDER BY v) FROM unnest(s.versions) AS v), '{}') AS live_versions,
       -- In order, so that it walks along the index and not over the jobs of all queues.
       (SELECT count(*) FROM (SELECT FROM job AS j WHERE j.queue_id = q.id AND j.due AND NOT j.suspect AND j.state = 'queued'
                              ORDER BY j.rank, j.id LIMIT $5) AS d)
         + (SELECT count(*) FROM job AS j WHERE j.queue_id = q.id AND j.suspect AND j.due AND j.state = 'queued')
         + coalesce((SELECT l.jobs FROM later AS l WHERE l.queue_id = q.id), 0) AS queued,
       coalesce((SELECT h.jobs FROM held AS h WHERE h.queue_id = q.id), 0)::bigint AS running,
       (SELECT j.run_at FROM job AS j WHERE j.queue_id = q.id AND j.due AND NOT j.suspect AND j.state = 'queued'
        ORDER BY j.rank, j.id LIMIT 1) AS oldest_due_at
FROM page AS p
JOIN queue AS q ON q.kind = 'model' AND q.name = p.name
LEFT JOIN account AS a ON a.id = q.owner
LEFT JOIN LATERAL (
  SELECT array_agg(v.name) AS versions FROM worker_session AS w JOIN model_version AS v ON v.id = w.version_id
  WHERE w.queue_id = q.id AND w.ended_at IS NULL AND w.alive_until > clock_timestamp()
) AS s ON true
WHERE p.place > 0
ORDER BY p.place
