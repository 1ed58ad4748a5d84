-- What is wrong after two use cases, whatever the order of their statements was.
-- $1 jobs that were ever made and may not be gone; $2 jobs that were moved, with $3 the version that each had after it and $4 whether
-- it had ended; $5 jobs made because no success answered; $6 jobs and $7 leases of which a word of the session $8
-- was refused; $9 whether results were removed; $10 whether somebody cancelled who asks nobody.
WITH place AS (
  SELECT id, image_id, queue_id, params_id, version, lease_no, state, session_id, true AS live FROM job
  UNION ALL
  SELECT id, image_id, queue_id, params_id, version, lease_no, state, session_id, false FROM job_archive
), moved AS (
  SELECT * FROM unnest($2::uuid[], $3::integer[], $4::boolean[]) AS m (id, version, ended)
)
SELECT 'job ' || id || ' is in two places' FROM place GROUP BY id HAVING count(*) > 1
UNION ALL
SELECT 'job ' || id || ' is lost' FROM unnest($1::uuid[]) AS k (id) WHERE id NOT IN (SELECT id FROM place)
UNION ALL
SELECT 'the end of job ' || id || ' was told ' || count(*) || ' times' FROM moved WHERE ended GROUP BY id HAVING count(*) > 1
UNION ALL
SELECT 'job ' || m.id || ' was told to have ended, and lives' FROM moved AS m JOIN job AS j ON j.id = m.id WHERE m.ended
UNION ALL
SELECT 'job ' || p.id || ' has version ' || p.version || ', though ' || m.version || ' was told'
FROM place AS p JOIN (SELECT id, max(version) AS version FROM moved GROUP BY id) AS m ON m.id = p.id WHERE p.version < m.version
UNION ALL
SELECT 'job ' || a.id || ' ended as ' || a.state || ' with ' || count(e.job_id) || ' events of it'
FROM job_archive AS a LEFT JOIN job_event AS e ON e.job_id = a.id AND e.code IN ('failed', 'cancelled')
GROUP BY a.id, a.state HAVING count(e.job_id) <> CASE WHEN a.state = 'succeeded' THEN 0 ELSE 1 END
UNION ALL
SELECT 'the outcome of ' || n.id || ' is told as ' || coalesce(o.job_id::text, 'nothing')
FROM (SELECT DISTINCT ON (image_id, queue_id, params_id, CASE WHEN state = 'succeeded' THEN version_id ELSE 0 END)
             id, image_id, queue_id, params_id, CASE WHEN state = 'succeeded' THEN version_id ELSE 0 END AS version_id, state
      FROM job_archive ORDER BY image_id, queue_id, params_id, CASE WHEN state = 'succeeded' THEN version_id ELSE 0 END, id DESC) AS n
JOIN image AS i ON i.id = n.image_id
LEFT JOIN outcome AS o USING (image_id, queue_id, params_id, version_id)
WHERE (o.job_id IS DISTINCT FROM n.id OR o.state <> n.state) AND NOT ($9 AND o.job_id IS NULL)
UNION ALL
SELECT 'a request of ' || r.submission_id || ' waits for job ' || r.job_id || ', which is nowhere'
FROM request AS r WHERE r.state IS NULL AND r.job_id NOT IN (SELECT id FROM place)
UNION ALL
SELECT 'a request of ' || r.submission_id || ' says ' || r.state || ' of job ' || r.job_id || ', which is ' || p.state
FROM request AS r JOIN place AS p ON p.id = r.job_id WHERE r.state <> p.state
UNION ALL
SELECT 'job ' || j.id || ' lives, and nobody waits for it'
FROM job AS j WHERE NOT EXISTS (SELECT FROM request AS r WHERE r.job_id = j.id AND r.withdrawn_at IS NULL)
UNION ALL
SELECT 'job ' || a.id || ' was cancelled, and somebody waits for it'
FROM job_archive AS a
WHERE NOT $10 AND a.state = 'cancelled' AND a.finished_at > (SELECT max(at) FROM kept.job_event)
  AND EXISTS (SELECT FROM request AS r WHERE r.job_id = a.id AND r.withdrawn_at IS NULL)
UNION ALL
SELECT 'image ' || j.image_id || ' is gone, and job ' || j.id || ' lives' FROM job AS j WHERE j.image_id NOT IN (SELECT id FROM image)
UNION ALL
SELECT 'session ' || s.session_id || ' runs ' || s.jobs || ' jobs, one of them alone'
FROM (SELECT session_id, count(*) AS jobs FROM job WHERE state = 'running' GROUP BY session_id HAVING bool_or(suspect)) AS s
WHERE s.jobs > 1
UNION ALL
SELECT j.jobs || ' jobs run, and the limit is ' || q.max_running
FROM queue AS q JOIN (SELECT queue_id, count(*) AS jobs FROM job WHERE state = 'running' GROUP BY queue_id) AS j ON j.queue_id = q.id
WHERE j.jobs > q.max_running
UNION ALL
SELECT 'job ' || j.id || ' was given to a session that was over' FROM job AS j JOIN worker_session AS s ON s.id = j.session_id
WHERE j.started_at > s.ended_at
UNION ALL
SELECT 'a word about job ' || r.id || ' was refused and counted'
FROM unnest($6::uuid[], $7::integer[]) AS r (id, lease_no)
WHERE EXISTS (SELECT FROM job_archive AS a WHERE a.id = r.id AND a.lease_no = r.lease_no AND a.session_id = $8)
UNION ALL
SELECT 'job ' || v.id || ' was made, though a success had answered'
FROM place AS v JOIN job_archive AS a ON (a.image_id, a.queue_id, a.params_id) = (v.image_id, v.queue_id, v.params_id)
WHERE v.id = ANY($5::uuid[]) AND a.state = 'succeeded' AND a.finished_at < uuid_v7_at(v.id) AND NOT $9
UNION ALL
SELECT 'claim ' || coalesce(c.claim_id, j.claim_id) || ' counts ' || coalesce(c.open, -1) || ', and ' || coalesce(j.jobs, 0) || ' run'
FROM claim AS c
FULL JOIN (SELECT session_id, claim_id, count(*) AS jobs FROM job WHERE state = 'running' GROUP BY session_id, claim_id) AS j USING (session_id, claim_id)
WHERE coalesce(c.open, -1) <> coalesce(j.jobs, 0)
UNION ALL
SELECT coalesce(t.rows, 0) || ' rows say what job ' || coalesce(o.job_id::text, 'of no outcome') || ' found'
FROM (SELECT image_id, queue_id, params_id, version_id, count(*) AS rows FROM item GROUP BY 1, 2, 3, 4) AS t
FULL JOIN (SELECT * FROM outcome WHERE state = 'succeeded') AS o USING (image_id, queue_id, params_id, version_id)
-- They are written a moment later; until then those of what was said before stand.
WHERE t.rows > 1 OR o.job_id IS NULL
