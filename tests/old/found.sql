-- What is found of a history: five items and fields of each image, tags, and what is known without a model. `grow_found` adds to the images
-- after $1 up to $2, whose outcomes are there.
INSERT INTO queue (name, last_version) VALUES ('clip', 'v1');
INSERT INTO model_version (queue_id, name) SELECT id, 'v1' FROM queue WHERE name = 'clip';
-- A model of which a second version has read a tenth of the images again.
INSERT INTO queue (name, last_version) VALUES ('detect', 'v2');
INSERT INTO model_version (queue_id, name) SELECT id, v FROM queue, unnest(ARRAY['v1', 'v2']) AS v WHERE queue.name = 'detect';

CREATE FUNCTION grow_found(before integer, images integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  clip integer := (SELECT id FROM queue WHERE name = 'clip');
BEGIN
  INSERT INTO item (image_id, params_id, queue_id, version_id, kind, place, label, value, text)
  SELECT o.image_id, o.params_id, o.queue_id, o.version_id, s.*
  FROM outcome AS o, LATERAL (SELECT o.image_id AS n) AS i, LATERAL (VALUES
    ('box', 0::smallint, CASE WHEN n % 2 = 0 THEN 'person' ELSE 'thing ' || n % 50 END, n * 31 % 1000 / 1000.0::float8, NULL),
    -- Few, a hundredth, and those that were there first.
    ('label', 1, CASE WHEN n % 5000 = 3 THEN 'rare' WHEN n % 100 = 4 THEN 'seldom' WHEN n <= 40000 THEN 'old' ELSE 'some' END, NULL, NULL),
    ('text', 2, NULL, 0.9, CASE WHEN n % 5000 = 6 THEN 'To Zanzibar ' ELSE 'Main Street ' END || n),
    ('field', -1, 'brightness', n * 7919 % 10007 / 39.0, NULL),
    ('field', -2, 'faces', CASE WHEN n % 5000 = 8 THEN 50 ELSE n % 7 END, NULL)) AS s
  WHERE o.image_id > before AND o.image_id <= images AND o.version_id > 0 ORDER BY o.image_id;
  INSERT INTO tag (case_id, image_id, tag, account_id)
  SELECT case_id, image_id, 'sea', account_id FROM upload WHERE image_id > before AND image_id % 5000 = 9;
  INSERT INTO derived (image_id, state, taken_at, camera, phash, placeholder, thumbs_sha256, thumbs_blob, thumbs_ends)
  SELECT n, 'done', timestamp '2000-01-01' + interval '1 min' * n, CASE WHEN n % 5000 = 10 THEN 'Leica M3' ELSE 'Camera ' || n % 300 END,
         ('x' || substr(md5(n::text), 1, 16))::bit(64)::bigint, '\x01', sha256(''), gen_random_uuid(), '{1,2,3,4}'
  FROM generate_series(before + 1, images) AS n;
  -- Of each tenth a box has moved, of each five-thousandth it is lost.
  INSERT INTO outcome (image_id, params_id, finished_at, queue_id, version_id, job_version, state, attempt, job_id, document)
  SELECT n, (SELECT min(id) FROM params), now(), v.queue_id, v.id, 3, 'succeeded', 1, uuid_v7(),
         jsonb_build_object('fields', '{}'::jsonb, 'summary', NULL, 'items', CASE WHEN v.name = 'v1' OR n % 5000 > 0 THEN
           jsonb_build_array(jsonb_build_object('type', 'box', 'label', 'person', 'score', 0.9,
             'box', jsonb_build_array(0.1, 0.1, CASE v.name WHEN 'v1' THEN 0.6 ELSE 0.7 END, 0.6))) ELSE '[]' END)
  FROM generate_series(before + 1, images) AS n, model_version AS v
  WHERE v.queue_id = (SELECT id FROM queue WHERE name = 'detect') AND n % 10 = 0;
  -- The newest two thousand have embeddings, of 512 numbers each.
  INSERT INTO outcome (image_id, params_id, finished_at, queue_id, version_id, job_version, state, attempt, job_id, document)
  SELECT n, (SELECT min(id) FROM params), now(), clip, (SELECT id FROM model_version WHERE queue_id = clip), 3, 'succeeded', 1, uuid_v7(),
         jsonb_build_object('items', jsonb_build_array(jsonb_build_object('type', 'embedding', 'space', 'clip', 'values',
           (SELECT jsonb_agg(round(sin(n * k)::numeric, 6)) FROM generate_series(1, 512) AS k))), 'fields', '{}'::jsonb, 'summary', NULL)
  FROM generate_series(greatest(before, images - 2000) + 1, images) AS n;
END
$$;
