-- Removes old outcomes; answers the images they were of. An image and model lose all that is old at once, or what an older job came
-- to would look like the newest. Passes over what is locked: it is just being written anew.
-- $1 how long they are kept; $2 the most images and models.
WITH old AS MATERIALIZED (
  SELECT DISTINCT o.image_id, o.queue_id
  FROM (SELECT image_id, queue_id FROM outcome WHERE finished_at < (SELECT clock_timestamp()) - $1::interval LIMIT $2) AS o
), locked AS MATERIALIZED (
  SELECT o.image_id, o.queue_id, o.params_id, o.version_id
  FROM outcome AS o JOIN old USING (image_id, queue_id)
  WHERE o.finished_at < clock_timestamp() - $1::interval
  FOR UPDATE OF o SKIP LOCKED
), gone AS (
  DELETE FROM outcome AS o USING locked AS l
  WHERE o.image_id = l.image_id AND o.queue_id = l.queue_id AND o.params_id = l.params_id AND o.version_id = l.version_id
  RETURNING o.image_id
), unsaid AS (
  -- Their locks are held: who writes them anew comes after this.
  DELETE FROM item AS i USING locked AS l
  WHERE i.image_id = l.image_id AND i.queue_id = l.queue_id AND i.params_id = l.params_id AND i.version_id = l.version_id
)
SELECT i.md5 FROM gone AS g JOIN image AS i ON i.id = g.image_id
