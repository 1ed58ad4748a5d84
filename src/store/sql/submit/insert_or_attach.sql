-- The careful way, after insert.sql met another submission: makes a job for every wanted image, queue and params, or attaches
-- to the one that is live by now, and writes the requests that wait for them. Unlike attach.sql it locks what it attaches to
-- in order of keys, not of ids; where that crosses a completion PostgreSQL ends one of the two.
-- $1 images, $2 queues and $3 params, free of repeats and in order; for each $4 its priority, $5 the instant before which it
-- is not to run or null, $6 the seconds after which it expires, $7 the submission, $8 the account, $9 the ended job that it
-- tries again or null; $10 their number.
WITH base AS MATERIALIZED (
  -- As in insert.sql.
  SELECT clock_timestamp() AS at, left(uuid_v7()::text, 24) AS prefix, floor(random() * 2 ^ 47)::bigint AS first
), fresh AS MATERIALIZED (
  SELECT (b.prefix || lpad(to_hex(b.first + w.place), 12, '0'))::uuid AS id, w.*, b.at, greatest(w.not_before, b.at) AS run_at
  FROM base AS b, (
    SELECT * FROM unnest($1::bigint[], $2::integer[], $3::bigint[], $4::smallint[], $5::timestamptz[], $6::float8[], $7::uuid[],
                         $8::uuid[], $9::uuid[])
      WITH ORDINALITY AS w (image_id, queue_id, params_id, priority, not_before, finish_within_s, submission_id, account_id,
                            retry_of, place)
    LIMIT $10
  ) AS w
), put AS (
  INSERT INTO job AS j (id, image_id, params_id, run_at, finish_by, queue_id, priority, due, submission_id, account_id, retry_of)
  SELECT id, image_id, params_id, run_at, run_at + interval '1 s' * finish_within_s, queue_id, priority, run_at <= at,
         submission_id, account_id, retry_of
  FROM fresh
  ON CONFLICT ON CONSTRAINT job_single_flight DO UPDATE SET
    priority = greatest(j.priority, excluded.priority),
    -- A job that runs, or waits out a back-off after a failure or a death, keeps its time.
    run_at = CASE WHEN j.state = 'queued' AND j.attempt = 0 AND j.deaths = 0 THEN least(j.run_at, excluded.run_at) ELSE j.run_at END,
    due = j.due OR (j.state = 'queued' AND j.attempt = 0 AND j.deaths = 0 AND excluded.due),
    finish_by = greatest(j.finish_by, excluded.finish_by), version = j.version + 1
  RETURNING id, image_id, queue_id, params_id, state, version, rank, due, suspect
), done AS MATERIALIZED (
  -- In the order of what was asked; what has the prefix of these ids was made just now.
  SELECT w.*, ($7::uuid[])[w.place] AS submission_id, ($8::uuid[])[w.place] AS account_id
  FROM (SELECT p.*, b.at, starts_with(p.id::text, b.prefix) AS created,
               row_number() OVER (ORDER BY p.image_id, p.queue_id, p.params_id) AS place
        FROM put AS p, base AS b) AS w
), asked AS (
  INSERT INTO request (submission_id, image_id, params_id, queue_id, job_id)
  SELECT submission_id, image_id, params_id, queue_id, id FROM done
), told AS (
  INSERT INTO job_event (at, code, job_id, version, queue_id, submission_id, account_id)
  SELECT at, 'attached', id, version, queue_id, submission_id, account_id FROM done WHERE NOT created
)
SELECT place, id, state::text AS state, version, rank, due, suspect, created FROM done
