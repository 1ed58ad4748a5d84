-- The verdict: what the processes were told (`ledger`), what was done to them (`hit`), and what the database holds (`books.sql`).
-- Each query answers the offenders, one text per row; nothing here is shared with the server.

-- name: lost
-- An accepted job without an end.
SELECT DISTINCT l.job::text FROM ledger AS l
WHERE l.what = 'accepted' AND NOT EXISTS (SELECT FROM jobs AS j WHERE j.id = l.job AND j.finished_at IS NOT NULL)

-- name: doubled
-- More than one end, an end and a life, a life after the end, or two completions that were both taken as the first.
SELECT 'two terminal events: ' || job_id FROM happened
WHERE code IN ('succeeded', 'failed', 'cancelled') GROUP BY job_id HAVING count(*) > 1
UNION ALL
SELECT 'live and ended, or ended twice: ' || id FROM jobs GROUP BY id HAVING count(*) > 1
UNION ALL
SELECT 'an event after the end: ' || e.job_id || ' ' || e.code FROM happened AS e
JOIN (SELECT job_id, min(id) AS id FROM happened WHERE code IN ('succeeded', 'failed', 'cancelled') GROUP BY job_id) AS t
  ON t.job_id = e.job_id AND e.id > t.id
UNION ALL
SELECT 'two accepted completions: ' || job FROM ledger
WHERE what = 'item' AND status = 200 AND NOT repeat AND state IN ('succeeded', 'failed') GROUP BY job HAVING count(*) > 1

-- name: stale
-- An accepted success that is not the one that ended the job, or whose result is not the one that is kept.
SELECT 'accepted ' || l.job || ' lease ' || l.lease_no FROM ledger AS l
LEFT JOIN jobs AS j ON j.id = l.job
WHERE l.what = 'item' AND l.status = 200 AND l.outcome = 'succeeded'
  AND (j.state = 'succeeded' AND j.lease_no = l.lease_no AND j.worker = l.session) IS NOT TRUE
UNION ALL
SELECT 'another result: ' || l.job FROM ledger AS l JOIN kept AS k ON k.job_id = l.job
WHERE l.what = 'item' AND l.status = 200 AND l.outcome = 'succeeded' AND l.nonce <> k.nonce

-- name: refused
-- A completion that was refused although it is the one that won.
SELECT l.job::text FROM ledger AS l
JOIN jobs AS j ON j.id = l.job AND j.finished_at IS NOT NULL AND j.lease_no = l.lease_no AND j.worker = l.session
WHERE l.what = 'item' AND l.status <> 200 AND l.outcome IN ('succeeded', 'rejected')

-- name: changed
-- A submission that was answered with other jobs when it was sent again.
SELECT job::text FROM ledger WHERE what = 'changed'

-- name: miscounted
-- A claim whose `open` is not the number of jobs that run under it, and a running job without its claim.
SELECT concat_ws(' ', 'session', session_id, 'claim', claim_id, 'open', c.open, 'running', j.jobs)
FROM claim AS c
FULL JOIN (SELECT session_id, claim_id, count(*) AS jobs FROM job WHERE state = 'running' GROUP BY session_id, claim_id) AS j
  USING (session_id, claim_id)
WHERE coalesce(c.open, -1) <> coalesce(j.jobs, 0)

-- name: mistaken
-- A session of a worker or trainer that was given up although nothing was done to it.
SELECT s.host || ' ' || s.id || ' given up at ' || to_char(s.ended_at, 'HH24:MI:SS.MS') FROM worker_session AS s
WHERE s.end_reason = 'lost' AND (s.host LIKE 'worker-%' OR s.host LIKE 'trainer-%') AND NOT EXISTS (
  SELECT FROM hit AS h WHERE h.part = s.host AND extract(epoch FROM s.registered_at) < h.from_at + 0.05
    AND extract(epoch FROM s.ended_at) BETWEEN h.from_at AND h.to_at)

-- name: waited
-- A job that might be claimed for over two seconds on end while a session waited for it, one replica having told the
-- one and being asked by the other, and the service being up.
SELECT format('%s of %s waited %s s beside a session at %s from %s', d.job, w.model, round(upper(met) - lower(met), 2),
              w.base, to_char(to_timestamp(lower(met)), 'HH24:MI:SS.MS'))
FROM waiting AS w JOIN due AS d ON d.model = w.model AND d.span && w.span CROSS JOIN LATERAL (SELECT d.span * w.span) AS m (met)
WHERE upper(met) - lower(met) > 2

-- name: judged
-- The seconds during which the rule could be judged.
SELECT coalesce(sum(upper(span) - lower(span)), 0)::text FROM waiting

-- name: numbers
-- Accepted, finished, deliveries of a job beyond its first, requests sent again, items refused as stale, and claim
-- latencies in ms.
SELECT concat_ws(' ',
  (SELECT count(DISTINCT job) FROM ledger WHERE what = 'accepted'),
  (SELECT count(DISTINCT l.job) FROM ledger AS l JOIN jobs AS j ON j.id = l.job WHERE l.what = 'accepted' AND j.finished_at IS NOT NULL),
  (SELECT count(*) - count(DISTINCT job_id) FROM happened WHERE code IN ('claimed', 'reclaimed')),
  (SELECT coalesce(sum(number), 0) FROM ledger WHERE what = 'retried'),
  (SELECT count(*) FROM ledger WHERE what = 'item' AND status = 409),
  (SELECT concat_ws(' ', round(percentile_cont(0.5) WITHIN GROUP (ORDER BY number)::numeric, 1),
                    round(percentile_cont(0.99) WITHIN GROUP (ORDER BY number)::numeric, 1), count(*))
   FROM ledger WHERE what = 'latency'),
  (SELECT concat_ws(' ', round(coalesce(percentile_cont(0.5) WITHIN GROUP (ORDER BY number), 0)::numeric, 1),
                    round(coalesce(percentile_cont(0.99) WITHIN GROUP (ORDER BY number), 0)::numeric, 1), count(*))
   FROM ledger AS l WHERE what = 'latency' AND EXISTS (SELECT FROM hit AS h WHERE h.part = 'redis' AND l.at BETWEEN h.from_at AND h.to_at)))

-- name: images
-- Every image and where its bytes lie.
SELECT encode(md5, 'hex') || ' ' || encode(sha256, 'hex') || '/' || blob FROM image ORDER BY id

-- name: truth
-- The newest ended job of every image and model, and the newest success with its nonce.
SELECT concat_ws(' ', n.md5, n.model, n.id, n.state, coalesce(s.id::text, '-'),
                 coalesce((SELECT k.nonce::text FROM kept AS k WHERE k.job_id = s.id), '-'))
FROM (SELECT DISTINCT ON (md5, model) md5, model, id, state FROM jobs WHERE finished_at IS NOT NULL AND md5 IS NOT NULL ORDER BY md5, model, id DESC) AS n
LEFT JOIN (SELECT DISTINCT ON (md5, model) md5, model, id FROM jobs WHERE state = 'succeeded' ORDER BY md5, model, id DESC) AS s
  ON s.md5 = n.md5 AND s.model = n.model
ORDER BY n.md5, n.model
