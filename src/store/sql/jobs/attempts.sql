-- The tries of a job that are over, in order; the one that succeeded is told by the archive.
-- $1 job; $2 the most.
SELECT t.lease_no, t.attempt, t.session_id AS worker, v.name AS version, t.outcome, t.error_type, t.error_message, t.traceback,
       t.started_at, t.ended_at
FROM attempt AS t
LEFT JOIN worker_session AS s ON s.id = t.session_id
LEFT JOIN model_version AS v ON v.id = s.version_id
WHERE t.job_id = $1
UNION ALL
SELECT a.lease_no, a.attempt, a.session_id, v.name, 'succeeded', NULL, NULL, NULL, a.started_at, a.finished_at
FROM job_archive AS a
LEFT JOIN model_version AS v ON v.id = a.version_id
WHERE a.id = $1 AND a.state = 'succeeded'
ORDER BY 1
LIMIT $2
