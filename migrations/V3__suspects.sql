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
