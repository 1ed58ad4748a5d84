-- A function of the benchmark's own: a partition of the archive and one of the events for a day that lies so many days
-- back, each with so many rows of ended jobs.
CREATE FUNCTION bench_history(days_back integer, rows integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  first timestamptz := (((clock_timestamp() AT TIME ZONE 'UTC')::date - days_back)::timestamp) AT TIME ZONE 'UTC';
  after timestamptz := first + interval '1 day';
  suffix text := to_char(first AT TIME ZONE 'UTC', 'YYYYMMDD');
BEGIN
  EXECUTE format('CREATE TABLE job_archive_%s PARTITION OF job_archive FOR VALUES FROM (%L) TO (%L)',
                 suffix, uuid_v7_floor(first), uuid_v7_floor(after));
  EXECUTE format('CREATE TABLE job_event_%s PARTITION OF job_event FOR VALUES FROM (%L) TO (%L)', suffix, first, after);
  WITH ended AS (
    SELECT (substr(uuid_v7_floor(at)::text, 1, 19) || substr(gen_random_uuid()::text, 20))::uuid AS id, n, at
    FROM generate_series(1, rows) AS n, LATERAL (SELECT first + n * interval '20 s' AS at) AS t
  ), archived AS (
    INSERT INTO job_archive (id, image_id, model, params_hash, state, priority, run_at, finish_by, attempt, deaths, lease_no,
           version, started_at, event_id, created_at, finished_at)
    SELECT id, n, 'faces', sha256('{}'), 'succeeded', 0, at, at, 1, 0, 1, 'v1', at, n, at, at FROM ended
  )
  INSERT INTO job_event (at, code, job_id, model) SELECT at, 'succeeded', id, 'faces' FROM ended;
END
$$
