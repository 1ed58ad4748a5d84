-- The truth of Darkroom. `job` is hot and narrow: queued and running rows only; the statement that ends
-- a job moves it to `job_archive`. Every constraint and index has a name, because the code reads them.

-- Time-ordered ids from the database's clock (RFC 9562, version 7, with 12 bits of sub-millisecond time).
CREATE FUNCTION uuid_v7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
  SELECT (lpad(to_hex(us / 1000), 12, '0')
          || '7' || lpad(to_hex((us % 1000) * 4096 / 1000), 3, '0')
          || substr(replace(gen_random_uuid()::text, '-', ''), 17))::uuid
  FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS us) AS clock
$$;

-- The smallest id that can be made at an instant: the bounds of the archive's partitions.
CREATE FUNCTION uuid_v7_floor(instant timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT (lpad(to_hex((extract(epoch FROM instant AT TIME ZONE 'UTC') * 1000)::bigint), 12, '0')
          || '7000' || '8000000000000000')::uuid
$$;

CREATE TYPE job_state AS ENUM ('queued', 'running', 'succeeded', 'failed', 'cancelled');
CREATE TYPE fail_reason AS ENUM ('rejected', 'exhausted', 'poisoned', 'expired');

-- One sequence orders every event, below 2^53 because Redis' Lua compares doubles.
CREATE SEQUENCE job_event_id AS bigint MAXVALUE 9007199254740991;

-- People -------------------------------------------------------------------------------------------

CREATE TABLE account (
  id               uuid        CONSTRAINT account_pkey PRIMARY KEY DEFAULT uuid_v7(),
  name             text        NOT NULL CONSTRAINT account_name_key UNIQUE
                               CONSTRAINT account_name_form CHECK (name ~ '^[a-z0-9][a-z0-9_.-]{0,63}$'),
  email            text        CONSTRAINT account_email_size CHECK (length(email) <= 254),
  password_hash    text        NOT NULL,
  roles            text[]      NOT NULL CONSTRAINT account_roles_known
                               CHECK (roles <@ ARRAY['admin', 'investigator', 'researcher']),
  -- Part of every token: raising it withdraws the tokens given out before.
  token_generation integer     NOT NULL DEFAULT 0,
  disabled_at      timestamptz,
  created_at       timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE login_failure (
  name     text        NOT NULL,
  source   text        NOT NULL,
  failures integer     NOT NULL,
  since    timestamptz NOT NULL,
  CONSTRAINT login_failure_pkey PRIMARY KEY (name, source)
);

CREATE TABLE api_key (
  id            text        CONSTRAINT api_key_pkey PRIMARY KEY
                            CONSTRAINT api_key_id_form CHECK (id ~ '^[a-z0-9]{12}$'),
  secret_sha256 bytea       NOT NULL CONSTRAINT api_key_secret_size CHECK (octet_length(secret_sha256) = 32),
  service       text        NOT NULL CONSTRAINT api_key_service_known CHECK (service IN ('predict', 'train')),
  models        text[]      NOT NULL CONSTRAINT api_key_models_some CHECK (cardinality(models) BETWEEN 1 AND 100),
  -- Nobody owns the keys of the microservices that come with an installation.
  owner         uuid        CONSTRAINT api_key_owner_fkey REFERENCES account,
  -- Made by an administrator or with the installation: may reach models of other owners.
  trusted       boolean     NOT NULL,
  detail        text        CONSTRAINT api_key_detail_size CHECK (length(detail) <= 500),
  created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
  expires_at    timestamptz,
  disabled_at   timestamptz,
  last_used_at  timestamptz
);
CREATE INDEX api_key_owner ON api_key (owner, id);

-- Models and workers -------------------------------------------------------------------------------

CREATE TABLE model (
  name           text        CONSTRAINT model_pkey PRIMARY KEY
                             CONSTRAINT model_name_form CHECK (name ~ '^[a-z0-9][a-z0-9_.-]{0,63}$'),
  owner          uuid        CONSTRAINT model_owner_fkey REFERENCES account,
  description    text        NOT NULL DEFAULT '',
  tags           text[]      NOT NULL DEFAULT '{}',
  labels         text[]      NOT NULL DEFAULT '{}',
  params_schema  jsonb,
  last_version   text        NOT NULL,
  paused         boolean     NOT NULL DEFAULT false,
  -- How many of its jobs may run at once; null is without limit.
  max_running    integer     CONSTRAINT model_max_running_range CHECK (max_running BETWEEN 1 AND 100000),
  max_attempts   smallint    NOT NULL DEFAULT 5 CONSTRAINT model_max_attempts_range CHECK (max_attempts BETWEEN 1 AND 100),
  backoff_base_s real        NOT NULL DEFAULT 5 CONSTRAINT model_backoff_base_range CHECK (backoff_base_s BETWEEN 0 AND 3600),
  backoff_cap_s  real        NOT NULL DEFAULT 600 CONSTRAINT model_backoff_cap_range CHECK (backoff_cap_s BETWEEN 0 AND 86400),
  deadline_s     real        NOT NULL DEFAULT 600 CONSTRAINT model_deadline_range CHECK (deadline_s BETWEEN 1 AND 86400),
  retired_at     timestamptz,
  created_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE worker_session (
  id            uuid        CONSTRAINT worker_session_pkey PRIMARY KEY DEFAULT uuid_v7(),
  key_id        text        NOT NULL CONSTRAINT worker_session_key_fkey REFERENCES api_key,
  model         text        NOT NULL CONSTRAINT worker_session_model_fkey REFERENCES model,
  version       text        NOT NULL,
  instance      uuid        NOT NULL,
  batch_max     integer     NOT NULL,
  host          text,
  sdk           text,
  -- What its last beat listed: [{"id", "lease_no", "progress", "note"}].
  holds         jsonb       NOT NULL DEFAULT '[]',
  draining      boolean     NOT NULL DEFAULT false,
  registered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  beat_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
  alive_until   timestamptz NOT NULL,
  ended_at      timestamptz,
  end_reason    text        CONSTRAINT worker_session_end_known CHECK (end_reason IN ('left', 'lost')),
  CONSTRAINT worker_session_end_whole CHECK ((ended_at IS NULL) = (end_reason IS NULL))
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX worker_session_live ON worker_session (key_id, instance, model) WHERE ended_at IS NULL;
CREATE INDEX worker_session_by_model ON worker_session (model) WHERE ended_at IS NULL;
CREATE INDEX worker_session_ended ON worker_session (ended_at) WHERE ended_at IS NOT NULL;

-- Images -------------------------------------------------------------------------------------------

CREATE TABLE image (
  id          bigint      GENERATED ALWAYS AS IDENTITY CONSTRAINT image_pkey PRIMARY KEY,
  md5         bytea       NOT NULL CONSTRAINT image_md5_key UNIQUE CONSTRAINT image_md5_size CHECK (octet_length(md5) = 16),
  sha256      bytea       NOT NULL CONSTRAINT image_sha256_size CHECK (octet_length(sha256) = 32),
  bytes       bigint      NOT NULL,
  media_type  text        NOT NULL,
  width       integer     NOT NULL,
  height      integer     NOT NULL,
  frames      integer     NOT NULL,
  -- EXIF orientation 1..8; null until it is read.
  orientation smallint    CONSTRAINT image_orientation_range CHECK (orientation BETWEEN 1 AND 8),
  warnings    text[]      NOT NULL DEFAULT '{}',
  -- The upload that won: its bytes lie at {sha256}/{blob} and that path is never used again.
  blob        uuid        NOT NULL CONSTRAINT image_blob_key UNIQUE,
  created_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- A user's title to an image; without one the image does not exist for that user.
CREATE TABLE upload (
  account_id uuid        NOT NULL CONSTRAINT upload_account_fkey REFERENCES account,
  image_id   bigint      NOT NULL CONSTRAINT upload_image_fkey REFERENCES image ON DELETE CASCADE,
  name       text        NOT NULL,
  at         timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT upload_pkey PRIMARY KEY (account_id, image_id, name)
);
CREATE INDEX upload_image ON upload (image_id);

-- Jobs ---------------------------------------------------------------------------------------------

-- Canonical parameters (RFC 8785) by the SHA-256 of their text.
CREATE TABLE params (
  hash bytea CONSTRAINT params_pkey PRIMARY KEY CONSTRAINT params_hash_size CHECK (octet_length(hash) = 32),
  body jsonb NOT NULL
);

CREATE TABLE job (
  id          uuid        CONSTRAINT job_pkey PRIMARY KEY DEFAULT uuid_v7(),
  image_id    bigint      NOT NULL CONSTRAINT job_image_fkey REFERENCES image,
  model       text        NOT NULL,
  params_hash bytea       NOT NULL,
  state       job_state   NOT NULL DEFAULT 'queued' CONSTRAINT job_live CHECK (state IN ('queued', 'running')),
  priority    smallint    NOT NULL DEFAULT 0 CONSTRAINT job_priority_range CHECK (priority BETWEEN -100 AND 100),
  run_at      timestamptz NOT NULL,
  -- A step of priority is worth ten minutes of waiting, so nothing starves.
  rank        bigint      NOT NULL GENERATED ALWAYS AS
              ((extract(epoch FROM run_at AT TIME ZONE 'UTC') * 1000)::bigint - priority * 600000::bigint) STORED,
  due         boolean     NOT NULL,
  finish_by   timestamptz NOT NULL,
  attempt     smallint    NOT NULL DEFAULT 0,
  deaths      smallint    NOT NULL DEFAULT 0,
  lease_no    bigint      NOT NULL DEFAULT 0,
  session_id  uuid,
  claim_id    uuid,
  started_at  timestamptz,
  deadline_at timestamptz,
  -- Its newest event: the version of everything that mirrors this row.
  event_id    bigint      NOT NULL,
  retry_of    uuid,
  created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- Live jobs only are in this table, so this index is the single flight.
  CONSTRAINT job_single_flight UNIQUE (image_id, model, params_hash),
  CONSTRAINT job_running_whole CHECK ((state = 'running') = (session_id IS NOT NULL)
                                  AND (state = 'running') = (deadline_at IS NOT NULL))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 5000);
-- Serves the fallback claim (due, by rank) and the counts of a model's queue.
CREATE INDEX job_ready ON job (model, due, rank, id) WHERE state = 'queued';
CREATE INDEX job_later ON job (run_at) WHERE state = 'queued' AND NOT due;
CREATE INDEX job_finish_by ON job (finish_by) WHERE state = 'queued';
CREATE INDEX job_session ON job (session_id) WHERE state = 'running';

-- Ended jobs; a row here never changes.
CREATE TABLE job_archive (
  id          uuid        NOT NULL,
  image_id    bigint      NOT NULL,
  model       text        NOT NULL,
  params_hash bytea       NOT NULL,
  state       job_state   NOT NULL CONSTRAINT job_archive_ended CHECK (state IN ('succeeded', 'failed', 'cancelled')),
  reason      fail_reason CONSTRAINT job_archive_reason CHECK ((state = 'failed') = (reason IS NOT NULL)),
  priority    smallint    NOT NULL,
  run_at      timestamptz NOT NULL,
  finish_by   timestamptz NOT NULL,
  attempt     smallint    NOT NULL,
  deaths      smallint    NOT NULL,
  lease_no    bigint      NOT NULL,
  -- The session whose completion ended it; null when the service did.
  session_id  uuid,
  version     text,
  duration_s  real,
  started_at  timestamptz,
  event_id    bigint      NOT NULL,
  retry_of    uuid,
  created_at  timestamptz NOT NULL,
  finished_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT job_archive_pkey PRIMARY KEY (id)
) PARTITION BY RANGE (id);
CREATE TABLE job_archive_default PARTITION OF job_archive DEFAULT;

-- The newest (greatest id) ended job of an image and model, and its newest success: what look-ups read.
CREATE TABLE image_model (
  image_id            bigint      NOT NULL CONSTRAINT image_model_image_fkey REFERENCES image ON DELETE CASCADE,
  model               text        NOT NULL,
  job_id              uuid        NOT NULL,
  state               job_state   NOT NULL,
  reason              fail_reason,
  attempt             smallint    NOT NULL,
  error               jsonb,
  event_id            bigint      NOT NULL,
  created_at          timestamptz NOT NULL,
  started_at          timestamptz,
  finished_at         timestamptz NOT NULL,
  success_job         uuid,
  success_params_hash bytea,
  success_version     text,
  CONSTRAINT image_model_pkey PRIMARY KEY (image_id, model)
) WITH (fillfactor = 80);

-- What a version of a model said of an image with given params; a rerun replaces the row.
CREATE TABLE result (
  image_id    bigint      NOT NULL CONSTRAINT result_image_fkey REFERENCES image ON DELETE CASCADE,
  model       text        NOT NULL,
  params_hash bytea       NOT NULL,
  version     text        NOT NULL,
  job_id      uuid        NOT NULL,
  document    jsonb       NOT NULL,
  finished_at timestamptz NOT NULL,
  CONSTRAINT result_pkey PRIMARY KEY (image_id, model, params_hash, version)
);

-- Tries that ended without success. A success is in the archive.
CREATE TABLE attempt (
  job_id        uuid        NOT NULL,
  lease_no      bigint      NOT NULL,
  attempt       smallint    NOT NULL,
  session_id    uuid        NOT NULL,
  outcome       text        NOT NULL CONSTRAINT attempt_outcome_known
                            CHECK (outcome IN ('retry', 'rejected', 'released', 'lost', 'deadline', 'cancelled')),
  error_type    text,
  error_message text,
  traceback     text,
  started_at    timestamptz NOT NULL,
  ended_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT attempt_pkey PRIMARY KEY (job_id, lease_no)
);

-- Submissions --------------------------------------------------------------------------------------

CREATE TABLE submission (
  id         uuid        CONSTRAINT submission_pkey PRIMARY KEY DEFAULT uuid_v7(),
  account_id uuid        NOT NULL CONSTRAINT submission_account_fkey REFERENCES account,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX submission_of_account ON submission (account_id, created_at DESC, id DESC);

-- Who waits for which job, or was answered by it.
CREATE TABLE request (
  submission_id uuid    NOT NULL CONSTRAINT request_submission_fkey REFERENCES submission,
  image_id      bigint  NOT NULL CONSTRAINT request_image_fkey REFERENCES image ON DELETE CASCADE,
  model         text    NOT NULL,
  params_hash   bytea   NOT NULL,
  job_id        uuid    NOT NULL,
  account_id    uuid    NOT NULL CONSTRAINT request_account_fkey REFERENCES account,
  withdrawn_at  timestamptz,
  CONSTRAINT request_pkey PRIMARY KEY (submission_id, image_id, model, params_hash)
);
CREATE INDEX request_job ON request (job_id);

-- Audit --------------------------------------------------------------------------------------------

-- One row per transition and administrative act, by the statement that made it: ids, codes and numbers
-- only, so that erasing an image never touches it.
CREATE TABLE job_event (
  id            bigint      NOT NULL DEFAULT nextval('job_event_id'),
  at            timestamptz NOT NULL DEFAULT clock_timestamp(),
  code          text        NOT NULL CONSTRAINT job_event_code_form CHECK (code ~ '^[a-z0-9_]{1,40}$'),
  job_id        uuid,
  submission_id uuid,
  -- The user who acted.
  account_id    uuid,
  -- The account, or image, acted upon.
  subject_id    text,
  key_id        text,
  session_id    uuid,
  model         text,
  lease_no      bigint,
  attempt       smallint,
  reason        text
) PARTITION BY RANGE (at);
CREATE TABLE job_event_default PARTITION OF job_event DEFAULT;
CREATE INDEX job_event_job ON job_event (job_id, id);

-- Housekeeping -------------------------------------------------------------------------------------

CREATE TABLE setting (
  name  text CONSTRAINT setting_pkey PRIMARY KEY,
  value text NOT NULL
);

CREATE TABLE tick (
  name    text CONSTRAINT tick_pkey PRIMARY KEY,
  last_at timestamptz NOT NULL
);

-- Makes the daily partitions of the archive and the events from today to `days_ahead` days on, only what
-- is missing. Rows that fell into a DEFAULT partition are moved first, or the ATTACH would fail for ever.
CREATE FUNCTION make_partitions(days_ahead integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  day  date;
  name text;
  made integer := 0;
BEGIN
  FOR day IN SELECT generate_series(0, days_ahead) + (clock_timestamp() AT TIME ZONE 'UTC')::date LOOP
    name := 'job_archive_' || to_char(day, 'YYYYMMDD');
    IF to_regclass(name) IS NULL THEN
      EXECUTE format('CREATE TABLE %I (LIKE job_archive INCLUDING ALL)', name);
      EXECUTE format('WITH moved AS (DELETE FROM job_archive_default WHERE id >= %L AND id < %L RETURNING *) INSERT INTO %I SELECT * FROM moved',
                     uuid_v7_floor(day::timestamp AT TIME ZONE 'UTC'), uuid_v7_floor((day + 1)::timestamp AT TIME ZONE 'UTC'), name);
      EXECUTE format('ALTER TABLE job_archive ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                     name, uuid_v7_floor(day::timestamp AT TIME ZONE 'UTC'), uuid_v7_floor((day + 1)::timestamp AT TIME ZONE 'UTC'));
      made := made + 1;
    END IF;
    name := 'job_event_' || to_char(day, 'YYYYMMDD');
    IF to_regclass(name) IS NULL THEN
      EXECUTE format('CREATE TABLE %I (LIKE job_event INCLUDING ALL)', name);
      EXECUTE format('WITH moved AS (DELETE FROM job_event_default WHERE at >= %L AND at < %L RETURNING *) INSERT INTO %I SELECT * FROM moved',
                     day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC', name);
      EXECUTE format('ALTER TABLE job_event ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                     name, day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
      made := made + 1;
    END IF;
  END LOOP;
  RETURN made;
END
$$;
