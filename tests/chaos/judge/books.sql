-- What the verdict is found in, beside `ledger` and `hit`. What the database holds is read through the audit's views as far
-- as they tell it, and once. Times of the rule of two seconds are seconds since 1970.

CREATE TEMP TABLE happened AS SELECT id, at, code, job_id, lease_no, model FROM audit_events WHERE job_id IS NOT NULL;
CREATE INDEX ON happened (job_id);
CREATE TEMP TABLE jobs AS SELECT id, md5, model, state, lease_no, worker, finished_at, retry_of FROM audit_jobs;
CREATE INDEX ON jobs (id);
-- The results that are kept.
CREATE TEMP TABLE kept AS SELECT job_id, (document -> 'fields' ->> 'nonce')::uuid AS nonce FROM outcome WHERE version_id > 0
UNION ALL SELECT job_id, (result -> 'fields' ->> 'nonce')::uuid FROM training_run WHERE state = 'succeeded';
CREATE INDEX ON kept (job_id);
ANALYZE happened; ANALYZE jobs; ANALYZE kept;
-- The checkpoints from which a lease of a run may go on: those sent for it, or for a run that it tries again (further back, the
-- greater the distance), and which of them were taken.
CREATE TEMP TABLE checkpoints AS
WITH RECURSIVE lines AS (
  SELECT id AS run, id AS of, 0 AS distance, retry_of FROM jobs WHERE md5 IS NULL
  UNION ALL
  SELECT l.run, j.id, l.distance + 1, j.retry_of FROM lines AS l JOIN jobs AS j ON j.id = l.retry_of
)
SELECT l.run, l.distance, s.lease_no, s.number AS epoch, s.nonce,
       EXISTS (SELECT FROM ledger AS f WHERE f.what = 'file' AND f.nonce = s.nonce AND f.status = 200) AS taken
FROM lines AS l JOIN ledger AS s ON s.job = l.of AND s.what = 'sending' AND s.outcome = 'checkpoint';

-- Jobs that might be claimed for over two seconds: from when their producer or the worker that gave them back had been
-- told so, until they were claimed or cancelled. Those that come back after a failure or a death rest first.
CREATE TEMP TABLE due AS
WITH told AS (
  SELECT job, 0 AS lease_no, min(at) AS at FROM ledger WHERE what = 'accepted' GROUP BY job
  UNION ALL
  SELECT job, lease_no, min(at) FROM ledger WHERE what = 'item' AND outcome = 'released' AND status = 200 GROUP BY job, lease_no
), spans AS (
  SELECT t.job, t.at::numeric AS from_at, coalesce(
    (SELECT min(extract(epoch FROM e.at)) FROM happened AS e
     WHERE e.job_id = t.job AND (e.code = 'claimed' AND e.lease_no > t.lease_no OR e.code IN ('cancelled', 'failed'))),
    'infinity') AS to_at
  FROM told AS t
)
SELECT s.job, j.model, numrange(s.from_at, s.to_at) AS span
FROM spans AS s JOIN jobs AS j ON j.id = s.job WHERE s.to_at - s.from_at > 2;

-- Sessions that waited for over two seconds on end at one replica, less the times when the service was away or had been
-- back for less than five seconds (its connections come back meanwhile), when a worker or the machine stood still (a claim may
-- not have been sent), and when a suspect of the model waited (for it one session is kept free).
CREATE TEMP TABLE waiting AS
WITH asked AS (
  SELECT outcome AS model, state AS base, range_agg(numrange((at - number)::numeric, at::numeric)) AS spans
  FROM ledger WHERE what = 'waited' AND number > 0 GROUP BY outcome, state
), excused AS (
  SELECT range_agg(numrange(from_at::numeric, (to_at + CASE part WHEN 'service' THEN 5 ELSE 0 END)::numeric)) AS spans
  FROM hit WHERE part IN ('service', 'stopped')
), suspects AS (
  SELECT r.model, range_agg(numrange(extract(epoch FROM r.at), (
      SELECT min(extract(epoch FROM e.at)) FROM happened AS e
      WHERE e.job_id = r.job_id AND e.code IN ('claimed', 'cancelled', 'failed') AND e.at > r.at))) AS spans
  FROM happened AS r WHERE r.code = 'rescued' GROUP BY r.model
), spans AS (
  SELECT a.model, a.base, unnest(a.spans - coalesce(x.spans, '{}') - coalesce(s.spans, '{}')) AS span
  FROM asked AS a CROSS JOIN excused AS x LEFT JOIN suspects AS s ON s.model = a.model
)
SELECT model, base, span FROM spans WHERE upper(span) - lower(span) > 2;
