-- The next live jobs in order of id, as the sweep judges them.
-- $1 the id after which to begin; $2 the most.
SELECT j.id, j.queue_id, j.rank, j.suspect, i.md5,
       (j.state = 'queued' AND j.due AND NOT j.suspect AND j.finish_by > clock_timestamp()) AS ready,
       (j.state = 'queued' AND j.finish_by <= clock_timestamp()) AS late,
       -- Its claim has no row: nothing would ever find its deadline, or count it.
       (j.state = 'running' AND c.claim_id IS NULL) AS orphan
FROM job AS j
LEFT JOIN image AS i ON i.id = j.image_id
LEFT JOIN claim AS c ON c.session_id = j.session_id AND c.claim_id = j.claim_id AND c.open > 0
WHERE j.id > $1
ORDER BY j.id LIMIT $2
