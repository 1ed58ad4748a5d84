-- Claims, for each of several claims, those of its hinted jobs that are still to be had.
-- $1 jobs, in order of id, with $2 the session and $3 the claim that each is for; $4 their number.
WITH hint AS (
  -- By session, so that each is joined once, whatever it is given.
  SELECT session_id, array_agg(job_id) AS jobs, array_agg(claim_id) AS claims
  FROM (SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS h (job_id, session_id, claim_id) LIMIT $4) AS h
  GROUP BY session_id ORDER BY session_id
), live AS MATERIALIZED (
  -- A session's row is locked before its jobs', so that no suspect slips in beside a claim. `end_reason` is no part of an index: a
  -- session is found by its id, not among all that live. Nor is `suspect` asked for in a WHERE: the job that it runs alone is found
  -- by its id, not among all suspects.
  SELECT s.id, s.queue_id, q.deadline_s, h.jobs, h.claims
  FROM hint AS h
  CROSS JOIN LATERAL (
    SELECT s.id, s.queue_id FROM worker_session AS s
    WHERE s.id = h.session_id AND s.end_reason IS NULL AND NOT s.draining
      -- What runs alone may have been claimed while this waited for its session: then the job is read as it was, and its lease is
      -- older than the one that the session's row tells.
      AND (s.solo_job IS NULL OR NOT coalesce((
        SELECT (j.suspect AND j.session_id = s.id) OR j.lease_no < s.solo_lease FROM job AS j WHERE j.id = s.solo_job), false))
    FOR SHARE OF s
  ) AS s
  JOIN queue AS q ON q.id = s.queue_id
  WHERE NOT q.paused AND q.max_running IS NULL AND q.retired_at IS NULL
), candidate AS MATERIALIZED (
  -- A hint proposes, this decides; a job that somebody else is busy with stays in line. Each is looked up by itself, and written
  -- where it was found: with statistics of a table that was empty just now, a join would walk over it. `+ 0` keeps the comparison
  -- of queues from being an index's.
  SELECT j.id, j.ctid, l.id AS session_id, h.claim_id, l.deadline_s, now.at
  FROM (SELECT clock_timestamp() AS at) AS now, live AS l
  CROSS JOIN LATERAL unnest(l.jobs, l.claims) AS h (job_id, claim_id)
  CROSS JOIN LATERAL (
    SELECT j.id, j.ctid FROM job AS j
    WHERE j.id = h.job_id AND j.state = 'queued' AND j.queue_id + 0 = l.queue_id AND NOT j.suspect AND j.run_at <= now.at AND j.finish_by > now.at
    FOR NO KEY UPDATE OF j SKIP LOCKED
  ) AS j
), taken AS (
  UPDATE job AS j SET state = 'running', lease_no = j.lease_no + 1, attempt = j.attempt + 1, version = j.version + 1,
                      session_id = c.session_id, claim_id = c.claim_id, started_at = c.at, begun_at = coalesce(j.begun_at, c.at)
  FROM candidate AS c WHERE j.ctid = c.ctid
  RETURNING j.id, j.image_id, j.queue_id, j.params_id, j.lease_no, j.attempt, j.version, j.rank, j.session_id, j.claim_id, c.deadline_s, c.at
), opened AS (
  -- A claim that is sent again while it holds jobs is another statement's: −1 breaks claim_open_range, and nothing is taken.
  INSERT INTO claim AS o (session_id, claim_id, queue_id, at, deadline_at, open, jobs)
  SELECT session_id, claim_id, min(queue_id), min(at), min(at) + interval '1 s' * min(deadline_s), count(*), array_agg(id)
  FROM taken GROUP BY session_id, claim_id ORDER BY session_id, claim_id
  ON CONFLICT ON CONSTRAINT claim_pkey DO UPDATE SET
    at = excluded.at, deadline_at = excluded.deadline_at, jobs = excluded.jobs,
    open = CASE WHEN o.open = 0 THEN excluded.open ELSE -1 END
)
SELECT session_id, claim_id, id, image_id, queue_id, params_id, lease_no, attempt, version, deadline_s::float8 AS deadline_s
FROM taken ORDER BY rank, id
