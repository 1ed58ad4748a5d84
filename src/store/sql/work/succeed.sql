-- Ends the jobs whose leases these sessions hold with their results: what most completions are. Passes over suspects, runs and
-- whatever the fence (job, lease_no, session of the calling key, running) does not let through.
-- $1 jobs, in order of id, each once, with $2 the session and $3 the key that call, $4 the lease, $5 the result, $6 how long
-- the model worked in seconds; $7 their number; $8 seconds: sessions that would live less long are overdue for a sign of life.
WITH sent AS (
  SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::integer[], $5::text[], $6::real[])
    WITH ORDINALITY AS t (id, session_id, key_id, lease_no, document, duration_s, place)
  LIMIT $7
), found AS (
  -- Each is looked up by itself: OFFSET 0 keeps it from being joined the other way round, by a walk over a table that was empty
  -- when this was planned.
  SELECT t.*, j.ctid, s.version_id, s.alive_until
  FROM sent AS t
  CROSS JOIN LATERAL (SELECT version_id, alive_until FROM worker_session WHERE id = t.session_id AND key_id = t.key_id OFFSET 0) AS s
  CROSS JOIN LATERAL (SELECT ctid FROM job WHERE id = t.id OFFSET 0) AS j
), gone AS (
  -- One by one in the order given: the order of locks. One that somebody moves between the look-up and the lock may be passed
  -- over; the caller asks for such by their locks.
  DELETE FROM job AS j USING found AS t
  WHERE j.ctid = t.ctid AND j.id = t.id AND j.lease_no = t.lease_no AND j.session_id = t.session_id AND j.state = 'running' AND NOT j.suspect
    AND j.run_id IS NULL
  RETURNING j.id, j.image_id, j.params_id, j.run_at, j.finish_by, j.started_at, j.queue_id, j.lease_no, j.version + 1 AS version,
            j.priority, j.attempt, j.deaths, j.submission_id, j.account_id, j.retry_of, j.session_id, j.claim_id, t.key_id,
            t.version_id, t.alive_until, t.document, t.duration_s, t.place
), ended AS MATERIALIZED (
  SELECT g.*, now.at FROM gone AS g, (SELECT clock_timestamp() AS at) AS now
), by_claim AS MATERIALIZED (
  SELECT session_id, claim_id, min(queue_id) AS queue_id, min(at) AS at, array_agg(id) AS jobs FROM ended
  GROUP BY session_id, claim_id ORDER BY session_id, claim_id
), over AS (
  -- A claim whose last jobs these are goes with them: a session's claims are counted often, and are to be few.
  DELETE FROM claim AS c
  USING (SELECT f.ctid, cardinality(b.jobs) AS jobs FROM by_claim AS b CROSS JOIN LATERAL (
           SELECT ctid FROM claim WHERE session_id = b.session_id AND claim_id = b.claim_id AND open = cardinality(b.jobs) OFFSET 0) AS f) AS b
  WHERE c.ctid = b.ctid AND c.open = b.jobs
  RETURNING c.session_id, c.claim_id
), counted AS (
  -- The others are counted down. ON CONFLICT finds a claim by its key, which no plan can turn into a walk; there is no claim of
  -- running jobs without its row, and one made here would hold nothing.
  INSERT INTO claim AS c (session_id, claim_id, queue_id, at, deadline_at, open, jobs)
  SELECT session_id, claim_id, queue_id, at, at, 0, jobs FROM by_claim
  WHERE (session_id, claim_id) NOT IN (SELECT session_id, claim_id FROM over) ORDER BY session_id, claim_id
  ON CONFLICT ON CONSTRAINT claim_pkey DO UPDATE SET open = greatest(0, c.open - cardinality(excluded.jobs))
), archived AS (
  INSERT INTO job_archive (id, image_id, params_id, run_at, finish_by, started_at, finished_at, queue_id, lease_no, version, version_id,
                           state, duration_s, priority, attempt, deaths, submission_id, account_id, retry_of, session_id, key_id)
  SELECT id, image_id, params_id, run_at, finish_by, started_at, at, queue_id, lease_no, version, version_id,
         'succeeded', duration_s, priority, attempt, deaths, submission_id, account_id, retry_of, session_id, key_id
  FROM ended
), kept AS (
  -- One row per key: of two jobs of one key that end together the newer counts. A live job is unique by key, so two are
  -- here only when a worker of another version holds one of them.
  INSERT INTO outcome AS o (image_id, params_id, started_at, finished_at, queue_id, version_id, job_version, state, attempt, job_id, document)
  SELECT image_id, params_id, started_at, at, queue_id, version_id, version, 'succeeded', attempt, id, document::jsonb
  FROM ended ORDER BY image_id, queue_id, params_id, version_id
  ON CONFLICT ON CONSTRAINT outcome_pkey DO UPDATE SET
    job_id = excluded.job_id, job_version = excluded.job_version, attempt = excluded.attempt, started_at = excluded.started_at,
    finished_at = excluded.finished_at, document = excluded.document, written = excluded.written
  WHERE excluded.job_id > o.job_id
)
SELECT place, id, image_id, queue_id, lease_no, version, version_id, session_id, alive_until < at + interval '1 s' * $8 AS overdue FROM ended
