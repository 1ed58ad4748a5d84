-- Claims by rank without hints, for several claims of several queues: the back-stop, and what keeps work flowing while Redis is
-- away or not yet trusted. Jobs of a queue go to its claims in the order of these.
-- $1 sessions, with $2 the claim and $3 the most jobs of each; $4 their number; $5 the most jobs of all; $6 whether the caller
-- holds the lock of a limited queue and has counted what may run.
WITH ask AS (
  SELECT session_id, array_agg(claim_id) AS claims, array_agg(most) AS mosts, array_agg(place) AS places
  FROM (SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::integer[]) WITH ORDINALITY AS a (session_id, claim_id, most, place) LIMIT $4) AS a
  GROUP BY session_id ORDER BY session_id
), live AS MATERIALIZED (
  -- As in claim.sql.
  SELECT s.id, s.queue_id, q.deadline_s, a.claims, a.mosts, a.places
  FROM ask AS a
  CROSS JOIN LATERAL (
    SELECT s.id, s.queue_id FROM worker_session AS s
    WHERE s.id = a.session_id AND s.end_reason IS NULL AND NOT s.draining
      AND (s.solo_job IS NULL OR NOT coalesce((
        SELECT (j.suspect AND j.session_id = s.id) OR j.lease_no < s.solo_lease FROM job AS j WHERE j.id = s.solo_job), false))
    FOR SHARE OF s
  ) AS s
  JOIN queue AS q ON q.id = s.queue_id
  WHERE NOT q.paused AND q.retired_at IS NULL AND (q.max_running IS NULL OR $6)
), share AS MATERIALIZED (
  -- Of its queue's jobs in line, numbered from 1, each claim gets those after `given` up to `upto`.
  SELECT l.id AS session_id, a.claim_id, l.queue_id, l.deadline_s,
         (sum(a.most) OVER before - a.most)::integer AS given, (sum(a.most) OVER before)::integer AS upto
  FROM live AS l CROSS JOIN unnest(l.claims, l.mosts, l.places) AS a (claim_id, most, place)
  WINDOW before AS (PARTITION BY l.queue_id ORDER BY a.place)
), line AS MATERIALIZED (
  SELECT w.queue_id, (
    SELECT array_agg(f.ctid ORDER BY f.rank, f.id) FROM (
    -- The index shows running jobs too, and those that are late for their end: they are passed over.
    SELECT j.id, j.rank, j.ctid FROM job AS j
    WHERE j.queue_id = w.queue_id AND j.due AND NOT j.suspect AND j.state = 'queued' AND j.finish_by > clock_timestamp()
    ORDER BY j.rank, j.id LIMIT w.most FOR NO KEY UPDATE OF j SKIP LOCKED) AS f
  ) AS jobs
  FROM (SELECT queue_id, least(max(upto), $5) AS most FROM share GROUP BY queue_id) AS w
), taken AS (
  UPDATE job AS j SET state = 'running', lease_no = j.lease_no + 1, attempt = j.attempt + 1, version = j.version + 1,
                      session_id = s.session_id, claim_id = s.claim_id, started_at = now.at, begun_at = coalesce(j.begun_at, now.at)
  FROM (SELECT unnest(l.jobs[s.given + 1:s.upto]) AS ctid, s.session_id, s.claim_id, s.deadline_s
        FROM share AS s JOIN line AS l ON l.queue_id = s.queue_id LIMIT $5) AS s,
       (SELECT clock_timestamp() AS at) AS now
  WHERE j.ctid = s.ctid
  RETURNING j.id, j.image_id, j.queue_id, j.params_id, j.lease_no, j.attempt, j.version, j.rank, j.session_id, j.claim_id, s.deadline_s, now.at
), opened AS (
  -- As in claim.sql.
  INSERT INTO claim AS o (session_id, claim_id, queue_id, at, deadline_at, open, jobs)
  SELECT session_id, claim_id, min(queue_id), min(at), min(at) + interval '1 s' * min(deadline_s), count(*), array_agg(id)
  FROM taken GROUP BY session_id, claim_id ORDER BY session_id, claim_id
  ON CONFLICT ON CONSTRAINT claim_pkey DO UPDATE SET
    at = excluded.at, deadline_at = excluded.deadline_at, jobs = excluded.jobs,
    open = CASE WHEN o.open = 0 THEN excluded.open ELSE -1 END
)
SELECT session_id, claim_id, id, image_id, queue_id, params_id, lease_no, attempt, version, deadline_s::float8 AS deadline_s
FROM taken ORDER BY rank, id
