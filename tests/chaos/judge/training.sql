-- The verdict on training runs, as verdict.sql on all jobs: each query answers the offenders, one text per row.

-- name: beside
-- Two runs of one dataset at once: a lease lasts from its claim to whatever took the run out of it.
WITH told AS (
  SELECT job_id, model, code, numrange(extract(epoch FROM at), coalesce(extract(epoch FROM lead(at) OVER (PARTITION BY job_id ORDER BY id)), 'infinity')) AS span
  FROM happened
  WHERE model LIKE 'dataset/%'
    AND code IN ('claimed', 'reclaimed', 'requeued', 'released', 'rescued', 'succeeded', 'failed', 'cancelled')
), leases AS (
  SELECT * FROM told WHERE code IN ('claimed', 'reclaimed')
)
SELECT format('%s: %s and %s', a.model, a.job_id, b.job_id) FROM leases AS a
JOIN leases AS b ON b.model = a.model AND b.job_id > a.job_id AND b.span && a.span

-- name: metrics
-- A report that was taken and is gone (a later lease of the attempt may have measured the epoch again), one that was refused and is
-- there, and one that is there under another lease than sent it.
SELECT format('lost: %s attempt %s epoch %s', l.job, l.outcome, l.state) FROM ledger AS l
WHERE l.what = 'metrics' AND l.status = 200 AND NOT EXISTS (
  SELECT FROM training_metric AS m
  WHERE m.job_id = l.job AND m.attempt = l.outcome::int AND m.epoch = l.state::int
    AND (m.lease_no > l.lease_no OR m.lease_no = l.lease_no AND (m.metrics ->> 'mark')::float8 = l.number))
UNION ALL
SELECT format('refused: %s lease %s epoch %s', l.job, l.lease_no, l.state) FROM ledger AS l
JOIN training_metric AS m ON m.job_id = l.job AND m.epoch = l.state::int AND (m.metrics ->> 'mark')::float8 = l.number
WHERE l.what = 'metrics' AND l.status <> 200 AND NOT l.repeat
UNION ALL
SELECT format('another lease: %s epoch %s', job_id, epoch) FROM training_metric WHERE (metrics ->> 'lease')::float8 <> lease_no

-- name: models
-- A model that is not what the lease uploaded whose completion was accepted, or there is one although it uploaded none.
SELECT format('%s: %s in place of %s', r.job_id, coalesce(encode(f.sha256, 'hex'), 'none'), coalesce(l.state, 'none'))
FROM training_run AS r
LEFT JOIN training_file AS f ON f.job_id = r.job_id AND f.kind = 'model' AND f.lease_no = r.lease_no
LEFT JOIN ledger AS l ON l.what = 'file' AND l.outcome = 'model' AND l.status = 200 AND l.job = r.job_id AND l.lease_no = r.lease_no
WHERE r.state = 'succeeded' AND encode(f.sha256, 'hex') IS DISTINCT FROM l.state

-- name: resumed
-- A lease that did not go on from the last checkpoint that was taken before it, or from one whose answer was lost, but from an older
-- one, from none, from one of another run, or from other bytes.
SELECT format('%s lease %s: %s, after epoch %s', r.job, r.lease_no, r.state, r.number) FROM ledger AS r
LEFT JOIN LATERAL (
  SELECT * FROM checkpoints AS c WHERE c.run = r.job AND c.taken AND (c.distance > 0 OR c.lease_no < r.lease_no)
  ORDER BY c.distance, c.lease_no DESC, c.epoch DESC LIMIT 1
) AS best ON true
LEFT JOIN checkpoints AS got ON got.run = r.job AND got.nonce = r.nonce
WHERE r.what = 'resumed' AND (
  r.state <> 'well' OR (r.nonce IS NOT NULL AND got.nonce IS NULL)
  OR best.nonce IS NOT NULL AND (
    got.nonce IS NULL OR (got.distance, -got.lease_no, -got.epoch) > (best.distance, -best.lease_no, -best.epoch)))

-- name: halves
-- A file that never came whole, or that was refused, and is there.
SELECT format('%s of %s lease %s', l.what, l.job, l.lease_no) FROM ledger AS l
JOIN training_file AS f ON encode(f.sha256, 'hex') = l.state
WHERE l.what = 'half' OR (l.what = 'file' AND l.status <> 200 AND NOT l.repeat)

-- name: files
-- Every file of a run: its checksum and where its bytes lie; of models that count, also the run.
SELECT concat_ws(' ', encode(f.sha256, 'hex'), encode(f.sha256, 'hex') || '/' || f.blob,
                 (SELECT r.job_id FROM training_run AS r WHERE r.job_id = f.job_id AND f.kind = 'model' AND f.lease_no = r.lease_no))
FROM training_file AS f

-- name: counts
-- Runs that were accepted and that ended, leases beyond a run's first, those that went on from a checkpoint, reports kept, models that
-- count, and writes of stale leases that were refused.
SELECT concat_ws(' ',
  (SELECT count(DISTINCT l.job) FROM ledger AS l JOIN training_run AS r ON r.job_id = l.job WHERE l.what = 'accepted'),
  (SELECT count(DISTINCT l.job) FROM ledger AS l JOIN training_run AS r ON r.job_id = l.job WHERE l.what = 'accepted' AND r.state IS NOT NULL),
  (SELECT count(*) FROM ledger AS l JOIN training_run AS r ON r.job_id = l.job WHERE l.what = 'claimed' AND l.lease_no > 1),
  (SELECT count(*) FROM ledger WHERE what = 'resumed' AND nonce IS NOT NULL),
  (SELECT count(*) FROM training_metric),
  (SELECT count(*) FROM training_run AS r JOIN training_file AS f ON f.job_id = r.job_id AND f.kind = 'model' AND f.lease_no = r.lease_no),
  (SELECT count(*) FROM ledger WHERE what IN ('metrics', 'file') AND status = 409))
