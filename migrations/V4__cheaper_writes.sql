-- What every job pays for is kept short: ids in one expression, fewer checks per row, an index that tells claims apart.

-- Time-ordered ids from the database's clock (RFC 9562, version 7, with 12 bits of sub-millisecond time). One expression
-- without FROM, so that it is inlined: milliseconds × 4096 are the 48 bits of time and the 12 bits after them.
CREATE OR REPLACE FUNCTION uuid_v7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
  SELECT (overlay(lpad(to_hex(floor(extract(epoch FROM clock_timestamp()) * 4096000)::bigint), 15, '0') PLACING '7' FROM 13 FOR 0)
          || substr(gen_random_uuid()::text, 20))::uuid
$$;

-- A claim asks whether it holds anything; without its own id in the index it would walk over all that its session ever
-- held and vacuum has not removed yet.
DROP INDEX job_session;
CREATE INDEX job_session ON job (session_id, claim_id) WHERE state = 'running';

-- Codes are literals of the statements that write events: a regular expression per row proves nothing about them.
DO $$
DECLARE
  part regclass;
BEGIN
  ALTER TABLE job_event DROP CONSTRAINT job_event_code_form;
  FOR part IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'job_event'::regclass LOOP
    EXECUTE format('ALTER TABLE %s DROP CONSTRAINT IF EXISTS job_event_code_form', part);
  END LOOP;
END
$$;

-- A request, a result and an image's newest state are written only under a lock that holds their image or submission in
-- place: the submission's own, or that of a live job, which refers to its image. A foreign key would look that up again
-- for every row. When an image goes, what was said of it goes by this trigger.
ALTER TABLE request DROP CONSTRAINT request_submission_fkey, DROP CONSTRAINT request_image_fkey, DROP CONSTRAINT request_account_fkey;
ALTER TABLE result DROP CONSTRAINT result_image_fkey;
ALTER TABLE image_model DROP CONSTRAINT image_model_image_fkey;

CREATE FUNCTION forget_images() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM request WHERE image_id IN (SELECT id FROM gone);
  DELETE FROM result WHERE image_id IN (SELECT id FROM gone);
  DELETE FROM image_model WHERE image_id IN (SELECT id FROM gone);
  RETURN NULL;
END
$$;
CREATE TRIGGER image_forgotten AFTER DELETE ON image REFERENCING OLD TABLE AS gone
  FOR EACH STATEMENT EXECUTE FUNCTION forget_images();
