-- How many ended jobs may go: of the default partition by row, of the months whole, as long as none of their jobs ended too lately.
-- $1 how long they are kept.
WITH months AS MATERIALIZED (
  SELECT p::regclass::oid AS id FROM old_partitions('job_archive', history_horizon($1)) AS p
), old AS (
  SELECT count(*) AS jobs FROM job_archive AS a WHERE a.tableoid IN (SELECT id FROM months)
  GROUP BY a.tableoid HAVING max(a.finished_at) < (SELECT ended_horizon($1))
)
SELECT ((SELECT coalesce(sum(jobs), 0) FROM old)
        + (SELECT count(*) FROM job_archive_default
           WHERE id < (SELECT uuid_v7_floor(history_horizon($1))) AND finished_at < (SELECT ended_horizon($1))))::bigint
