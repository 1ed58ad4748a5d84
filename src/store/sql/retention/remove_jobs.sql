-- Removes old jobs that fell into the default partition, with their tries; the requests that name them keep how they ended.
-- $1 how long they are kept; $2 the most.
WITH bite AS MATERIALIZED (
  SELECT id, state FROM job_archive_default
  WHERE id < (SELECT uuid_v7_floor(history_horizon($1))) AND finished_at < (SELECT ended_horizon($1))
  ORDER BY id LIMIT $2
), saved AS (
  UPDATE request AS r SET state = b.state FROM bite AS b WHERE r.job_id = b.id AND r.state IS NULL
), forgotten AS (
  DELETE FROM attempt AS t USING bite AS b WHERE t.job_id = b.id
)
DELETE FROM job_archive_default AS a USING bite AS b WHERE a.id = b.id
