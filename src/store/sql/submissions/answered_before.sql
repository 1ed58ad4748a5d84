-- Those of the wanted that their submissions have asked for before, by their places, with their jobs as they now are.
-- $1 images, $2 queues, $3 params that are wanted, with $4 the submission of each; $5 their number.
SELECT w.place, r.job_id, coalesce(r.state, j.state, a.state, 'cancelled')::text AS state
FROM (
  SELECT * FROM unnest($1::bigint[], $2::integer[], $3::bigint[], $4::uuid[])
    WITH ORDINALITY AS w (image_id, queue_id, params_id, submission_id, place)
  LIMIT $5
) AS w
JOIN request AS r ON r.submission_id = w.submission_id AND r.image_id = w.image_id AND r.queue_id = w.queue_id AND r.params_id = w.params_id
LEFT JOIN job AS j ON j.id = r.job_id
-- How a job ended never changes: once the request knows it, nobody else is asked.
LEFT JOIN job_archive AS a ON a.id = r.job_id AND r.state IS NULL
