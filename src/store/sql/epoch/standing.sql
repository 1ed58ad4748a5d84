-- The run of Redis and the epoch that stand, and how many seconds ago it was last said that they are used, and that a replica goes
-- on without. $1 the setting, $2 what the asking replica uses or null, $3 and $4 the names of the ticks.
WITH used AS (
  INSERT INTO tick (name, last_at) SELECT $3, clock_timestamp() FROM setting WHERE name = $1 AND value = $2
  ON CONFLICT ON CONSTRAINT tick_pkey DO UPDATE SET last_at = excluded.last_at
  -- Once a second, whichever replica says so.
  WHERE tick.last_at < excluded.last_at - interval '1 s'
)
SELECT s.value,
       (SELECT extract(epoch FROM clock_timestamp() - last_at)::float8 FROM tick WHERE name = $3) AS used_s,
       (SELECT extract(epoch FROM clock_timestamp() - last_at)::float8 FROM tick WHERE name = $4) AS missed_s
FROM setting AS s WHERE s.name = $1
