-- Readies the next ended jobs of a month to go: saves in the requests that name them how they ended, and removes their tries,
-- which the audit would tell without them. Stops before a job that ended too lately. How far it has come is a setting: a month
-- takes many statements, and no job comes to a month whose jobs have all ended.
-- $1 partition, ends in the month; $2 how long jobs are kept; $3 the most.
WITH place AS MATERIALIZED (
  SELECT coalesce((SELECT value::uuid FROM setting WHERE name = 'settled ' || $1), uuid_v7_floor(m.month AT TIME ZONE 'UTC')) AS after,
         uuid_v7_floor((m.month + interval '1 month') AT TIME ZONE 'UTC') AS upper
  FROM (SELECT to_date(right($1, 6), 'YYYYMM')::timestamp AS month) AS m
), page AS MATERIALIZED (
  SELECT a.id, a.state, a.finished_at >= (SELECT ended_horizon($2)) AS young
  FROM job_archive AS a
  WHERE a.id > (SELECT after FROM place) AND a.id < (SELECT upper FROM place)
  ORDER BY a.id LIMIT $3
), bite AS MATERIALIZED (
  SELECT id, state FROM page
  WHERE id < coalesce((SELECT id FROM page WHERE young ORDER BY id LIMIT 1), 'ffffffff-ffff-ffff-ffff-ffffffffffff')
), saved AS (
  UPDATE request AS r SET state = b.state FROM bite AS b WHERE r.job_id = b.id AND r.state IS NULL
), forgotten AS (
  DELETE FROM attempt AS t USING bite AS b WHERE t.job_id = b.id
), noted AS (
  INSERT INTO setting (name, value)
  SELECT 'settled ' || $1, b.id::text FROM bite AS b ORDER BY b.id DESC LIMIT 1
  ON CONFLICT ON CONSTRAINT setting_pkey DO UPDATE SET value = excluded.value
)
SELECT (SELECT count(*) FROM bite) AS jobs,
       (SELECT count(*) FROM page) < $3 AND NOT EXISTS (SELECT FROM page WHERE young) AS whole
