-- What a lease that is not held any more once led to: in the archive, or, for what says `retry` or `released`, among the tries
-- that ended so. A statement of its own with a fresh snapshot: a COMMIT may have come in between. It makes a repeat harmless.
-- A result for a lease that was given back is none.
-- $1 jobs, with $2 the session and $3 the key that call, $4 the lease and $5 what is said of it; $6 their number.
SELECT t.place, coalesce(a.state::text, 'queued') AS state
FROM (
  SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::integer[], $5::text[])
    WITH ORDINALITY AS t (id, session_id, key_id, lease_no, said, place)
  LIMIT $6
) AS t
CROSS JOIN LATERAL (SELECT FROM worker_session WHERE id = t.session_id AND key_id = t.key_id OFFSET 0) AS s
-- OFFSET 0 keeps it a probe by id: a join may walk over a month that was empty when it was planned.
LEFT JOIN LATERAL (
  SELECT o.id, o.state FROM job_archive AS o WHERE o.id = t.id AND o.lease_no = t.lease_no AND o.session_id = t.session_id OFFSET 0
) AS a ON true
LEFT JOIN attempt AS b ON b.job_id = t.id AND b.lease_no = t.lease_no AND b.session_id = t.session_id
                      AND b.outcome = t.said AND t.said IN ('retry', 'released')
WHERE a.id IS NOT NULL OR b.job_id IS NOT NULL
