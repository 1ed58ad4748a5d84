-- The verdict: what the processes were told (`ledger`), what was done to them (`hit`), and what the database holds.
-- Each query answers the offenders, one text per row; nothing here is shared with the server.

-- name: lost
-- An accepted job without an end.
SELECT DISTINCT l.job::text FROM ledger AS l
WHERE l.what = 'accepted' AND NOT EXISTS (SELECT FROM job_archive AS a WHERE a.id = l.job)

-- name: doubled
-- More than one end, an end and a life, a life after the end, or two completions that were both taken as the first.
SELECT 'two terminal events: ' || job_id FROM job_event
WHERE job_id IS NOT NULL AND code IN ('succeeded', 'failed', 'cancelled') GROUP BY job_id HAVING count(*) > 1
UNION ALL
SELECT 'two archive rows: ' || id FROM job_archive GROUP BY id HAVING count(*) > 1
UNION ALL
SELECT 'live and ended: ' || j.id FROM job AS j JOIN job_archive AS a ON a.id = j.id
UNION ALL
SELECT 'an event after the end: ' || e.job_id || ' ' || e.code FROM job_event AS e
JOIN (SELECT job_id, min(id) AS id FROM job_event WHERE code IN ('succeeded', 'failed', 'cancelled') GROUP BY job_id) AS t
  ON t.job_id = e.job_id AND e.id > t.id
UNION ALL
SELECT 'two accepted completions: ' || job FROM ledger
WHERE what = 'item' AND status = 200 AND NOT repeat AND state IN ('succeeded', 'failed') GROUP BY job HAVING count(*) > 1

-- name: stale
-- An accepted success that is not the one in the archive, or whose result is not the one that is kept.
SELECT 'accepted ' || l.job || ' lease ' || l.lease_no FROM ledger AS l
LEFT JOIN job_archive AS a ON a.id = l.job
WHERE l.what = 'item' AND l.status = 200 AND l.outcome = 'succeeded'
  AND (a.state = 'succeeded' AND a.lease_no = l.lease_no AND a.session_id = l.session) IS NOT TRUE
UNION ALL
SELECT 'another result: ' || l.job FROM ledger AS l JOIN result AS r ON r.job_id = l.job
WHERE l.what = 'item' AND l.status = 200 AND l.outcome = 'succeeded' AND l.nonce <> (r.document -> 'fields' ->> 'nonce')::uuid

-- name: refused
-- A completion that was refused although it is the one that won.
SELECT l.job::text FROM ledger AS l
JOIN job_archive AS a ON a.id = l.job AND a.lease_no = l.lease_no AND a.session_id = l.session
WHERE l.what = 'item' AND l.status <> 200 AND l.outcome IN ('succeeded', 'rejected')

-- name: changed
-- A submission that was answered with other jobs when it was sent again.
SELECT job::text FROM ledger WHERE what = 'changed'

-- name: mistaken
-- A session that was given up although nothing was done to its worker.
SELECT s.host || ' ' || s.id || ' given up at ' || to_char(s.ended_at, 'HH24:MI:SS.MS') FROM worker_session AS s
WHERE s.end_reason = 'lost' AND NOT EXISTS (
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
  (SELECT count(DISTINCT l.job) FROM ledger AS l JOIN job_archive AS a ON a.id = l.job WHERE l.what = 'accepted'),
  (SELECT count(*) - count(DISTINCT job_id) FROM job_event WHERE code IN ('claimed', 'reclaimed')),
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
SELECT concat_ws(' ', encode(i.md5, 'hex'), n.model, n.id, n.state, coalesce(s.id::text, '-'),
                 coalesce((SELECT r.document -> 'fields' ->> 'nonce' FROM result AS r WHERE r.job_id = s.id), '-'))
FROM (SELECT DISTINCT ON (image_id, model) image_id, model, id, state FROM job_archive ORDER BY image_id, model, id DESC) AS n
JOIN image AS i ON i.id = n.image_id
LEFT JOIN (SELECT DISTINCT ON (image_id, model) image_id, model, id FROM job_archive WHERE state = 'succeeded'
           ORDER BY image_id, model, id DESC) AS s ON s.image_id = n.image_id AND s.model = n.model
ORDER BY i.id, n.model
