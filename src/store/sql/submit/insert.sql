-- Makes a job for every wanted image, queue and params, and the requests that wait for them. None of them is live: another
-- submission that makes one at the same time breaks job_single_flight, and the caller starts again. None is made where a success
-- answers that came since the caller asked for one: it may have ended the very job that was live then.
-- $1 images, $2 queues and $3 params, free of repeats and in order; for each $4 its priority, $5 the instant before which it
-- is not to run or null, $6 the seconds after which it expires, $7 the submission, $8 the account, $9 the ended job that it
-- tries again or null; $10 their number; $11 for each whether a success answers it as well.
WITH base AS MATERIALIZED (
  -- One id is made, and the others count on from it: in order, and as unlikely to be met again as the first.
  SELECT clock_timestamp() AS at, left(uuid_v7()::text, 24) AS prefix, floor(random() * 2 ^ 47)::bigint AS first
), wanted AS MATERIALIZED (
  SELECT * FROM unnest($1::bigint[], $2::integer[], $3::bigint[], $4::smallint[], $5::timestamptz[], $6::float8[], $7::uuid[],
                       $8::uuid[], $9::uuid[], $11::boolean[])
    WITH ORDINALITY AS w (image_id, queue_id, params_id, priority, not_before, finish_within_s, submission_id, account_id,
                          retry_of, takes_result, place)
  LIMIT $10
), served AS MATERIALIZED (
  -- As in cached.sql.
  SELECT q.id AS queue_id, coalesce(
           (SELECT array_agg(DISTINCT s.version_id) FROM worker_session AS s
            WHERE s.queue_id = q.id AND s.ended_at IS NULL AND s.alive_until > clock_timestamp()),
           (SELECT array_agg(v.id) FROM model_version AS v WHERE v.queue_id = q.id AND v.name = q.last_version)) AS versions
  FROM (SELECT DISTINCT queue_id FROM wanted WHERE takes_result) AS w JOIN queue AS q ON q.id = w.queue_id
), fresh AS MATERIALIZED (
  SELECT (b.prefix || lpad(to_hex(b.first + w.place), 12, '0'))::uuid AS id, w.*, b.at, greatest(w.not_before, b.at) AS run_at
  FROM base AS b, wanted AS w
  -- OFFSET 0 keeps it a probe by key, and only of those that it concerns.
  WHERE NOT (w.takes_result AND EXISTS (
    SELECT FROM served AS s JOIN outcome AS o ON o.image_id = w.image_id AND o.queue_id = w.queue_id AND o.params_id = w.params_id
    WHERE s.queue_id = w.queue_id AND o.version_id > 0 AND o.version_id = ANY(s.versions) OFFSET 0))
), asked AS (
  INSERT INTO request (submission_id, image_id, params_id, queue_id, job_id)
  SELECT submission_id, image_id, params_id, queue_id, id FROM fresh
)
INSERT INTO job (id, image_id, params_id, run_at, finish_by, queue_id, priority, due, submission_id, account_id, retry_of)
SELECT id, image_id, params_id, run_at, run_at + interval '1 s' * finish_within_s, queue_id, priority, run_at <= at,
       submission_id, account_id, retry_of
FROM fresh
RETURNING ('x' || right(id::text, 12))::bit(48)::bigint - (SELECT first FROM base) AS place, id, rank, due
