-- What moves while somebody waits for a run. $1 run.
SELECT r.revision + coalesce(j.version, 0) AS revision, r.state IS NOT NULL AS ended,
       (h.held ->> 'progress')::float8 AS progress, h.held ->> 'note' AS note
FROM training_run AS r
LEFT JOIN job AS j ON j.id = r.job_id
LEFT JOIN LATERAL (
  SELECT h AS held FROM worker_session AS w CROSS JOIN jsonb_array_elements(w.holds) AS h
  WHERE w.id = j.session_id AND h ->> 'id' = j.id::text AND h ->> 'lease_no' = j.lease_no::text LIMIT 1
) AS h ON true
WHERE r.job_id = $1
