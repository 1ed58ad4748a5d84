-- Those of the wanted that a cached success answers: of a version that a live worker serves or, none being live, the last
-- one seen.
-- $1 images, $2 queues, $3 params, $4 their number.
WITH wanted AS (
  SELECT * FROM unnest($1::bigint[], $2::integer[], $3::bigint[]) WITH ORDINALITY AS w (image_id, queue_id, params_id, place)
  LIMIT $4
), served AS MATERIALIZED (
  -- The versions of a model are looked up once, not for every image.
  SELECT q.id AS queue_id, coalesce(
           (SELECT array_agg(DISTINCT s.version_id) FROM worker_session AS s
            WHERE s.queue_id = q.id AND s.ended_at IS NULL AND s.alive_until > clock_timestamp()),
           (SELECT array_agg(v.id) FROM model_version AS v WHERE v.queue_id = q.id AND v.name = q.last_version)) AS versions
  FROM (SELECT DISTINCT queue_id FROM wanted) AS w JOIN queue AS q ON q.id = w.queue_id
)
SELECT DISTINCT ON (w.place) w.place, o.job_id
FROM wanted AS w
JOIN served AS s ON s.queue_id = w.queue_id
JOIN outcome AS o ON o.image_id = w.image_id AND o.queue_id = w.queue_id AND o.params_id = w.params_id
WHERE o.version_id > 0 AND o.version_id = ANY(s.versions)
ORDER BY w.place, o.finished_at DESC
