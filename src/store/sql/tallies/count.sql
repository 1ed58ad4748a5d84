-- The requests of submissions for the next images of each, counted by model and state, with how many images these are and the last of
-- them. A withdrawn request counts as cancelled.
-- $1 submissions; $2 the image of each after which to begin; $3 the most images of each; $4 the number of submissions.
SELECT s.id AS submission, p.images, p.last, c.queue, c.state::text AS state, c.jobs
FROM (SELECT * FROM unnest($1::uuid[], $2::bigint[]) AS s (id, after) LIMIT $4) AS s
CROSS JOIN LATERAL (
  -- From the key alone, which is in order of images.
  SELECT count(*) AS images, max(image_id) AS last
  FROM (SELECT DISTINCT image_id FROM request WHERE submission_id = s.id AND image_id > s.after ORDER BY image_id LIMIT $3) AS i
) AS p
CROSS JOIN LATERAL (
  SELECT t.queue, t.state, count(*) AS jobs
  FROM (
    SELECT r.queue_id AS queue,
           CASE WHEN r.withdrawn_at IS NOT NULL THEN 'cancelled'
                -- How a job ended never changes: once the request knows it, nobody else is asked. Each by its key, for few of all
                -- the jobs that there are are of this submission.
                ELSE coalesce(r.state, (SELECT j.state FROM job AS j WHERE j.id = r.job_id),
                              (SELECT a.state FROM job_archive AS a WHERE a.id = r.job_id AND a.state <> 'succeeded'), 'succeeded') END AS state
    FROM request AS r WHERE r.submission_id = s.id AND r.image_id > s.after AND r.image_id <= p.last
    OFFSET 0
  ) AS t
  GROUP BY t.queue, t.state
) AS c
