-- A function of the benchmark's own: a partition of the archive and one of the events for a day that lies so many days
-- before this month, each with so many rows of ended jobs.
CREATE FUNCTION bench_history(days_back integer, rows integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  first timestamptz := (date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC') - days_back * interval '1 day') AT TIME ZONE 'UTC';
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
    INSERT INTO job_archive (id, image_id, params_id, run_at, finish_by, started_at, finished_at, queue_id, lease_no, version, version_id,
           state, priority, attempt, deaths, submission_id, account_id)
    SELECT id, n, 1, at, at, at, at, 1, 1, 3, 1, 'succeeded', 0, 1, 0, id, id FROM ended
  )
  INSERT INTO job_event (at, code, job_id, queue_id, version) SELECT at, 'attached', id, 1, 1 FROM ended;
END
$$
