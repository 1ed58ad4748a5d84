-- Takes the export that nobody makes and that has waited longest, of an account whose last was made longest ago: accounts take turns. It
-- is held until `held_until`; whoever holds it then no more has lost it to others.
-- $1 for how long, in seconds.
UPDATE export SET build_at = clock_timestamp() + $1 * interval '1 s', state = 'running', tries = least(tries, 9999) + 1, images_done = 0
WHERE id = (SELECT e.id FROM export AS e WHERE e.build_at <= (SELECT clock_timestamp())
            ORDER BY (SELECT max(CASE WHEN o.state = 'running' AND o.build_at > clock_timestamp() THEN 'infinity' ELSE o.finished_at END)
                      FROM export AS o WHERE o.account_id = e.account_id) NULLS FIRST, e.build_at
            LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED)
RETURNING id, case_id, account_id, filter, format, created_at, tries, build_at AS held_until
