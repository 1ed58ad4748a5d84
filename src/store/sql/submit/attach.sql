-- Attaches to the live jobs among the wanted: attaching only makes a job sooner, more urgent and longer-lived.
-- $1 images, $2 queues and $3 params that are wanted, free of repeats; for each $4 its priority, $5 the instant before which
-- it is not to run or null, $6 the seconds after which it expires, $7 the submission and $8 the account that ask; $9 their number.
WITH wanted AS (
  SELECT * FROM unnest($1::bigint[], $2::integer[], $3::bigint[], $4::smallint[], $5::timestamptz[], $6::float8[], $7::uuid[], $8::uuid[])
    WITH ORDINALITY AS w (image_id, queue_id, params_id, priority, not_before, finish_within_s, submission_id, account_id, place)
  LIMIT $9
), found AS (
  -- Each is looked up by itself: OFFSET 0 keeps it from being joined the other way round, by a walk over a table that was empty
  -- when this was planned.
  SELECT w.*, j.id FROM wanted AS w
  CROSS JOIN LATERAL (
    SELECT id FROM job WHERE image_id = w.image_id AND queue_id = w.queue_id AND params_id = w.params_id OFFSET 0
  ) AS j
), live AS MATERIALIZED (
  -- Jobs are locked in order of id, as everywhere. One that ends while its lock is waited for is not live.
  SELECT j.ctid, j.id, j.state, j.version, j.rank, j.due, j.suspect, w.place, w.submission_id, w.account_id, j.queue_id,
         greatest(j.priority, w.priority) AS priority,
         -- A job that runs, or waits out a back-off after a failure or a death, keeps its time.
         CASE WHEN j.state = 'queued' AND j.attempt = 0 AND j.deaths = 0
              THEN least(j.run_at, greatest(w.not_before, now.at)) ELSE j.run_at END AS run_at,
         greatest(j.finish_by, greatest(w.not_before, now.at) + interval '1 s' * w.finish_within_s) AS finish_by, now.at,
         j.priority AS old_priority, j.run_at AS old_run_at, j.finish_by AS old_finish_by
  FROM (SELECT clock_timestamp() AS at) AS now, (SELECT * FROM found ORDER BY id OFFSET 0) AS w
  CROSS JOIN LATERAL (SELECT ctid, * FROM job WHERE id = w.id FOR NO KEY UPDATE) AS j
), asked AS MATERIALIZED (
  -- What asks for nothing more writes nothing; a hundredth of the life that is left is not worth a row.
  SELECT *, priority > old_priority OR run_at < old_run_at OR finish_by > old_finish_by + (old_finish_by - at) * 0.01 AS raised FROM live
), changed AS (
  UPDATE job AS j SET priority = l.priority, run_at = l.run_at, finish_by = l.finish_by, due = l.due OR l.run_at <= l.at,
                      version = j.version + 1
  -- One that was moved while its lock was waited for is not seen where it is now: it is answered as missed, and asked for again.
  FROM asked AS l WHERE j.ctid = l.ctid AND l.raised
  RETURNING l.place, j.id, j.state, j.version, j.rank, j.due, j.suspect, j.queue_id, l.submission_id, l.account_id, l.at
), attached AS MATERIALIZED (
  SELECT * FROM changed
  UNION ALL
  SELECT place, id, state, version, rank, due, suspect, queue_id, submission_id, account_id, at FROM asked WHERE NOT raised
), told AS (
  INSERT INTO job_event (at, code, job_id, version, queue_id, submission_id, account_id)
  SELECT at, 'attached', id, version, queue_id, submission_id, account_id FROM attached
)
SELECT place, id, state::text AS state, version, rank, due, suspect, false AS missed FROM attached
UNION ALL
SELECT place, id, state::text, version, rank, due, suspect, true FROM asked
WHERE raised AND place NOT IN (SELECT place FROM changed)
