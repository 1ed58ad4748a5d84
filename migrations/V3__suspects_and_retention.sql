-- Jobs whose worker died are tried alone, retries get a budget of time, and history can be shortened.

ALTER TABLE job
  -- Its worker died: it is claimed next by a session that holds nothing, and alone.
  ADD COLUMN suspect  boolean NOT NULL DEFAULT false,
  -- Its first claim, from which the retry budget counts.
  ADD COLUMN begun_at timestamptz;
CREATE INDEX job_suspect ON job (model, rank, id) WHERE suspect AND state = 'queued';

ALTER TABLE worker_session
  -- The suspect that it runs; it gets nothing else meanwhile.
  ADD COLUMN solo_job       uuid,
  -- Until then it is given nothing before it is empty, so that a waiting suspect finds a session.
  ADD COLUMN reserved_until timestamptz;

ALTER TABLE model
  -- No retry starts later than this after the first claim; null is without limit.
  ADD COLUMN retry_budget_s real CONSTRAINT model_retry_budget_range CHECK (retry_budget_s BETWEEN 1 AND 2592000);

-- What retention looks for: by image, and by age. Results are written in order of time but for reruns, so a
-- block range serves at next to no cost.
CREATE INDEX request_image ON request (image_id);
CREATE INDEX result_age ON result USING brin (finished_at);
CREATE INDEX submission_age ON submission USING brin (created_at);

-- Up to when history may go that is kept for `keep`: never anything that a live job needs, however old it is.
CREATE FUNCTION history_horizon(keep interval) RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
  SELECT least(clock_timestamp() - keep, (SELECT created_at FROM job ORDER BY id LIMIT 1))
$$;

-- The daily partitions of `job_archive` or `job_event` that end before an instant, oldest first.
CREATE FUNCTION old_partitions(parent text, horizon timestamptz) RETURNS SETOF text LANGUAGE sql STABLE AS $$
  SELECT c.relname::text
  FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
  WHERE i.inhparent = parent::regclass AND c.relname ~ '_[0-9]{8}$'
    AND (to_date(right(c.relname, 8), 'YYYYMMDD') + 1)::timestamp AT TIME ZONE 'UTC' <= horizon
  ORDER BY c.relname
$$;

-- Drops one partition, unless a lock that it needs is not free within a moment: traffic must not queue up behind it.
CREATE FUNCTION drop_partition(parent text, name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  SET LOCAL lock_timeout = '200ms';
  EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', parent, name);
  EXECUTE format('DROP TABLE %I', name);
END
$$;
