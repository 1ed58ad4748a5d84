-- The rows that a submission leaves: account $1 asks model $2 for images $3. Nothing is looked up or locked.
WITH opened AS (
  INSERT INTO submission (account_id, case_id) SELECT own_of, id FROM casefile WHERE own_of = $1 RETURNING id
), base AS MATERIALIZED (
  SELECT clock_timestamp() AS at, left(uuid_v7()::text, 24) AS prefix, floor(random() * 2 ^ 47)::bigint AS first
), fresh AS MATERIALIZED (
  SELECT (b.prefix || lpad(to_hex(b.first + i.place), 12, '0'))::uuid AS id, i.image, b.at, o.id AS submission, q.id AS queue, p.id AS params
  FROM base AS b, opened AS o, params AS p, queue AS q, unnest($3::bigint[]) WITH ORDINALITY AS i (image, place)
  WHERE q.name = $2 AND p.hash = sha256('{}')
), asked AS (
  INSERT INTO request (submission_id, image_id, params_id, queue_id, job_id) SELECT submission, image, params, queue, id FROM fresh
)
INSERT INTO job (id, image_id, params_id, run_at, finish_by, queue_id, due, submission_id, account_id)
SELECT id, image, params, at, at + interval '30 days', queue, true, submission, $1 FROM fresh
