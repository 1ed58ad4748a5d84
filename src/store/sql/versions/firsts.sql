-- For each model of which several versions live and whose work is the newest's: the least version that is given any. It is the newest
-- of those with a live session that takes work and has room; a second answer counts only sessions that have lately claimed, for jobs
-- that nobody took although they had time to.
-- $1 seconds within which a session has lately claimed.
SELECT q.path AS model, coalesce(able.newest, 0) AS for_new, coalesce(able.claiming, 0) AS for_old
FROM (SELECT queue_id FROM worker_session WHERE ended_at IS NULL AND alive_until > clock_timestamp()
      GROUP BY queue_id HAVING min(version_id) <> max(version_id)) AS several
JOIN queue AS q ON q.id = several.queue_id AND q.served_by = 'newest'
CROSS JOIN LATERAL (
  SELECT max(s.version_id) AS newest, max(s.version_id) FILTER (WHERE c.at > clock_timestamp() - interval '1 s' * $1) AS claiming
  FROM worker_session AS s
  CROSS JOIN LATERAL (SELECT coalesce(sum(open), 0) AS held, max(at) AS at FROM claim WHERE session_id = s.id) AS c
  WHERE s.queue_id = q.id AND s.ended_at IS NULL AND s.alive_until > clock_timestamp() AND NOT s.draining AND s.batch_max > c.held
) AS able
