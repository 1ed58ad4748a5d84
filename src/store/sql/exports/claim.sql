-- Takes the export that has waited longest and that nobody makes. It is held until `held_until`; whoever holds it then no more has lost
-- it to others.
-- $1 for how long, in seconds.
UPDATE export SET build_at = clock_timestamp() + $1 * interval '1 s', state = 'running', tries = least(tries, 9999) + 1, images_done = 0
WHERE id = (SELECT e.id FROM export AS e WHERE e.build_at <= (SELECT clock_timestamp())
            ORDER BY e.build_at LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED)
RETURNING id, case_id, account_id, filter, format, created_at, tries, build_at AS held_until
