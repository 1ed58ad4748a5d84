-- A history that grew for three years. Functions of a test's own; `grow_history` adds the images after $1 up to $2.

-- When the n-th of them came: evenly over 36 months.
CREATE FUNCTION old_at(n integer, before integer, images integer) RETURNS timestamptz LANGUAGE sql STABLE AS $$
  SELECT date_trunc('month', now(), 'UTC') - interval '36 months' + interval '1095 days' * (n - before) / (images - before + 1)
$$;
CREATE FUNCTION old_job(n integer, at timestamptz) RETURNS uuid LANGUAGE sql STABLE AS $$
  SELECT (substr(uuid_v7_floor(at)::text, 1, 24) || lpad(to_hex(n), 12, '0'))::uuid
$$;
-- Each round of an account asks for all images, a thousand to a submission.
CREATE FUNCTION old_submission(round integer, n integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
  SELECT ('00000000-0000-4000-8' || lpad(round::text, 3, '0') || '-' || lpad(to_hex(n / 1000), 12, '0'))::uuid
$$;

-- The months of the archive and of the events, as if the server had run then.
SELECT make_partition('job_archive', m, 'id', uuid_v7_floor(m AT TIME ZONE 'UTC')::text, uuid_v7_floor((m + interval '1 month') AT TIME ZONE 'UTC')::text),
       make_partition('job_event', m, 'at', (m AT TIME ZONE 'UTC')::text, ((m + interval '1 month') AT TIME ZONE 'UTC')::text)
FROM generate_series(date_trunc('month', now() AT TIME ZONE 'UTC') - interval '36 months', now() AT TIME ZONE 'UTC', interval '1 month') AS m;

INSERT INTO params (hash, body) VALUES (sha256('{}'), '{}');
-- A model with next to no jobs, one with a long line and no worker, one whose jobs are for later, and what is waited for.
INSERT INTO queue (name, owner, last_version)
  SELECT name, (SELECT id FROM account WHERE account.name = 'rosa' AND q.name = 'rare'), 'v1' FROM unnest(ARRAY['rare', 'deep', 'later', 'wait']) AS q (name);
INSERT INTO model_version (queue_id, name) SELECT id, 'v1' FROM queue WHERE name <> 'ocr';
-- The submission of a million.
INSERT INTO submission (id, account_id, case_id) SELECT old_submission(9, 0), own_of, id FROM casefile WHERE name = 'mary';

CREATE FUNCTION grow_history(before integer, images integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  ines  uuid := (SELECT id FROM account WHERE name = 'ines');
  own   uuid := (SELECT id FROM casefile WHERE name = 'ines');
  mary  uuid := (SELECT id FROM account WHERE name = 'mary');
  plain bigint := (SELECT id FROM params);
  ocr   integer := (SELECT id FROM queue WHERE name = 'ocr');
  rare  integer := (SELECT id FROM queue WHERE name = 'rare');
BEGIN
  INSERT INTO image (md5, sha256, bytes, media_type, width, height, frames, blob, created_at)
  SELECT decode(md5(n::text), 'hex'), sha256(n::text::bytea), 4194304, 'image/jpeg', 4032, 3024, 1, gen_random_uuid(), old_at(n, before, images)
  FROM generate_series(before + 1, images) AS n ORDER BY n;
  INSERT INTO upload (case_id, account_id, image_id, submission_id, name, at)
  SELECT own, ines, n, old_submission(1, n), n || '.jpg', old_at(n, before, images) FROM generate_series(before + 1, images) AS n;

  -- One in a thousand failed, and as many were of the model that hardly anybody uses.
  INSERT INTO job_archive (id, image_id, params_id, run_at, finish_by, started_at, finished_at, queue_id, lease_no, version, version_id, state,
                           reason, priority, attempt, deaths, submission_id, account_id)
  SELECT old_job(n, t.at), n, plain, t.at, t.at, t.at, t.at, q.id, 1, 3, CASE WHEN f.failed THEN 0 ELSE v.id END,
         CASE WHEN f.failed THEN 'failed' ELSE 'succeeded' END::job_state, CASE WHEN f.failed THEN 'exhausted' END::fail_reason,
         0, 1, 0, old_submission(1, n), ines
  FROM generate_series(before + 1, images) AS n,
       LATERAL (SELECT old_at(n, before, images) AS at) AS t, LATERAL (SELECT n % 1000 = 7 AS failed) AS f,
       LATERAL (SELECT CASE WHEN n % 1000 = 8 THEN rare ELSE ocr END AS id) AS q JOIN model_version AS v ON v.queue_id = q.id;
  INSERT INTO outcome (image_id, params_id, started_at, finished_at, queue_id, version_id, job_version, state, reason, attempt, job_id, error, document)
  SELECT image_id, params_id, started_at, finished_at, queue_id, version_id, version, state, reason, attempt, id,
         CASE WHEN state = 'failed' THEN '{"type": "ValueError"}'::jsonb END,
         CASE WHEN state = 'succeeded' THEN '{"items": [], "fields": {}, "summary": null}'::jsonb END
  FROM job_archive WHERE image_id > before;
  INSERT INTO attempt (job_id, lease_no, attempt, version, session_id, outcome, error_type, started_at, ended_at)
  SELECT id, 1, 1, 2, gen_random_uuid(), 'rejected', 'ValueError', started_at, finished_at
  FROM job_archive WHERE image_id > before AND state = 'failed';
  INSERT INTO job_event (at, code, job_id, queue_id, version, account_id)
  SELECT finished_at, CASE WHEN state = 'failed' THEN 'failed' ELSE 'attached' END, id, queue_id, version, account_id
  FROM job_archive WHERE image_id > before AND image_id % 5 = 2;

  -- Five rounds of the account, of which the later were answered by what was known; and all in one submission of another.
  INSERT INTO submission (id, account_id, case_id, created_at)
  SELECT old_submission(r, n), ines, own, old_at(n, before, images) + interval '1 s' * r
  FROM generate_series(1, 5) AS r, generate_series(before + 1, images) AS n WHERE n % 1000 = 0 OR n = before + 1
  ON CONFLICT DO NOTHING;
  INSERT INTO request (submission_id, image_id, params_id, queue_id, state, job_id)
  SELECT old_submission(r, a.image_id::integer), a.image_id, plain, a.queue_id, CASE WHEN r > 1 THEN a.state END, a.id
  FROM generate_series(1, 5) AS r JOIN job_archive AS a ON a.image_id > before
  ORDER BY r, a.image_id;
  INSERT INTO request (submission_id, image_id, params_id, queue_id, job_id)
  SELECT old_submission(9, 0), image_id, plain, queue_id, id FROM job_archive WHERE image_id > before ORDER BY image_id;

  -- What lives: a line without a worker, what is for later, and the last hundred that the great submission waits for.
  INSERT INTO job (id, image_id, params_id, run_at, finish_by, queue_id, due, submission_id, account_id)
  SELECT uuid_v7(), n, plain, clock_timestamp() + interval '1 day' * (q.name = 'later')::integer, clock_timestamp() + interval '30 days',
         q.id, q.name <> 'later', old_submission(9, 0), mary
  FROM queue AS q, generate_series(before + 1, images) AS n
  WHERE q.name IN ('deep', 'later') AND n % 20 = 0 OR q.name = 'wait' AND n > images - 100;
  INSERT INTO request (submission_id, image_id, params_id, queue_id, job_id)
  SELECT j.submission_id, j.image_id, plain, j.queue_id, j.id FROM job AS j JOIN queue AS q ON q.id = j.queue_id
  WHERE q.name = 'wait' AND j.image_id > before;
END
$$;
