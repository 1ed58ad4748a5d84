-- The truth of Darkroom. `job` is hot and narrow: queued and running rows only; the statement that ends a job moves it to
-- `job_archive` and tells `outcome`. Every constraint and index has a name, because the code reads them.
-- Locks are taken in one order everywhere: case, submission, image, queue, session, job, claim, outcome, each by key.

-- Ids ------------------------------------------------------------------------------------------------

-- Time-ordered ids from the database's clock (RFC 9562, version 7, with 12 bits of sub-millisecond time). One expression
-- without FROM, so that it is inlined: milliseconds × 4096 are the 48 bits of time and the 12 bits after them.
CREATE FUNCTION uuid_v7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
  SELECT (overlay(lpad(to_hex(floor(extract(epoch FROM clock_timestamp()) * 4096000)::bigint), 15, '0') PLACING '7' FROM 13 FOR 0)
          || substr(gen_random_uuid()::text, 20))::uuid
$$;

-- The smallest id that can be made at an instant: the bounds of the archive's partitions.
CREATE FUNCTION uuid_v7_floor(instant timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT (lpad(to_hex((extract(epoch FROM instant AT TIME ZONE 'UTC') * 1000)::bigint), 12, '0')
          || '7000' || '8000000000000000')::uuid
$$;

-- When an id was made, to a quarter of a microsecond: a job's time of creation is in its id alone.
CREATE FUNCTION uuid_v7_at(id uuid) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT to_timestamp((('x' || substr(id::text, 1, 8) || substr(id::text, 10, 4))::bit(48)::bigint * 4096
                       + ('x' || substr(id::text, 16, 3))::bit(12)::integer) / 4096000.0)
$$;

CREATE TYPE job_state AS ENUM ('queued', 'running', 'succeeded', 'failed', 'cancelled');
CREATE TYPE fail_reason AS ENUM ('rejected', 'exhausted', 'poisoned', 'expired');

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

-- Tokens that were logged out, until they would have expired.
CREATE TABLE ended_token (
  account_id uuid        NOT NULL CONSTRAINT ended_token_account_fkey REFERENCES account,
  id         uuid        NOT NULL,
  expires_at timestamptz NOT NULL,
  CONSTRAINT ended_token_pkey PRIMARY KEY (account_id, id)
);

-- Cases --------------------------------------------------------------------------------------------

-- Photographs and what belongs to them, for its members. A row never goes: who writes to a case locks it first (FOR KEY SHARE), and
-- sees it open; who closes or deletes it locks it FOR UPDATE, and waits for them.
CREATE TABLE casefile (
  id          uuid        CONSTRAINT casefile_pkey PRIMARY KEY DEFAULT uuid_v7(),
  -- Empty once it is deleted.
  name        text        NOT NULL CONSTRAINT casefile_name_size CHECK (length(name) <= 200),
  description text        NOT NULL DEFAULT '' CONSTRAINT casefile_description_size CHECK (length(description) <= 4000),
  -- The account whose own it is: what is submitted to no other case goes there. It is neither closed nor deleted.
  own_of      uuid        CONSTRAINT casefile_own_of_key UNIQUE CONSTRAINT casefile_own_of_fkey REFERENCES account,
  created_by  uuid        CONSTRAINT casefile_created_by_fkey REFERENCES account,
  created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  closed_at   timestamptz,
  deleted_at  timestamptz,
  deleted_by  uuid        CONSTRAINT casefile_deleted_by_fkey REFERENCES account,
  -- What has gone of a deleted case, in numbers, and whether all has: the receipt.
  removed     jsonb       CONSTRAINT casefile_removed_whole CHECK ((removed IS NULL) = (deleted_at IS NULL)),
  CONSTRAINT casefile_own_stays CHECK (own_of IS NULL OR closed_at IS NULL AND deleted_at IS NULL)
);
CREATE INDEX casefile_going ON casefile (id) WHERE (removed ->> 'done') = 'false';

CREATE TABLE member (
  case_id    uuid        NOT NULL CONSTRAINT member_case_fkey REFERENCES casefile,
  account_id uuid        NOT NULL CONSTRAINT member_account_fkey REFERENCES account,
  role       text        NOT NULL CONSTRAINT member_role_known CHECK (role IN ('viewer', 'editor', 'owner')),
  added_by   uuid        CONSTRAINT member_added_by_fkey REFERENCES account,
  at         timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT member_pkey PRIMARY KEY (case_id, account_id)
);
-- With the standing of an account its memberships are read.
CREATE INDEX member_of_account ON member (account_id, case_id) INCLUDE (role);

-- A text under which somebody looks for images: what it means, search knows.
CREATE TABLE saved_filter (
  case_id    uuid        NOT NULL CONSTRAINT saved_filter_case_fkey REFERENCES casefile,
  name       text        COLLATE "C" NOT NULL CONSTRAINT saved_filter_name_size CHECK (length(name) BETWEEN 1 AND 64),
  filter     text        NOT NULL CONSTRAINT saved_filter_size CHECK (length(filter) <= 2000),
  account_id uuid        NOT NULL CONSTRAINT saved_filter_account_fkey REFERENCES account,
  at         timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT saved_filter_pkey PRIMARY KEY (case_id, name)
);

-- Keys ---------------------------------------------------------------------------------------------

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

-- What workers claim from: the jobs of a model, or the runs of a dataset. One sequence of ids for both, so that none is
-- taken for the other.
CREATE TABLE queue (
  id             integer     GENERATED ALWAYS AS IDENTITY CONSTRAINT queue_pkey PRIMARY KEY,
  kind           text        NOT NULL DEFAULT 'model' CONSTRAINT queue_kind_known CHECK (kind IN ('model', 'dataset')),
  name           text        NOT NULL CONSTRAINT queue_name_form CHECK (name ~ '^[a-z0-9][a-z0-9_.-]{0,63}$'),
  -- What it is called where models and datasets lie side by side: in memory, in Redis, in figures and in the audit.
  path           text        NOT NULL GENERATED ALWAYS AS (CASE kind WHEN 'model' THEN name ELSE kind || '/' || name END) STORED,
  owner          uuid        CONSTRAINT queue_owner_fkey REFERENCES account,
  description    text        NOT NULL DEFAULT '',
  tags           text[]      NOT NULL DEFAULT '{}',
  labels         text[]      NOT NULL DEFAULT '{}',
  params_schema  jsonb,
  last_version   text        NOT NULL,
  -- Which of its live versions are given work: the newest, and older ones only what it has no room for, or any.
  served_by      text        NOT NULL DEFAULT 'newest' CONSTRAINT queue_served_by_known CHECK (served_by IN ('newest', 'any')),
  paused         boolean     NOT NULL DEFAULT false,
  -- How many of its jobs may run at once; null is without limit.
  max_running    integer     CONSTRAINT queue_max_running_range CHECK (max_running BETWEEN 1 AND 100000),
  max_attempts   smallint    NOT NULL DEFAULT 5 CONSTRAINT queue_max_attempts_range CHECK (max_attempts BETWEEN 1 AND 100),
  backoff_base_s real        NOT NULL DEFAULT 5 CONSTRAINT queue_backoff_base_range CHECK (backoff_base_s BETWEEN 0 AND 3600),
  backoff_cap_s  real        NOT NULL DEFAULT 600 CONSTRAINT queue_backoff_cap_range CHECK (backoff_cap_s BETWEEN 0 AND 86400),
  -- No retry starts later than this after the first claim; null is without limit.
  retry_budget_s real        CONSTRAINT queue_retry_budget_range CHECK (retry_budget_s BETWEEN 1 AND 2592000),
  -- How long one attempt may take.
  deadline_s     real        NOT NULL DEFAULT 600 CONSTRAINT queue_deadline_range CHECK (deadline_s BETWEEN 1 AND 86400),
  retired_at     timestamptz,
  created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT queue_name_key UNIQUE (name, kind),
  -- A dataset is trained on by one run at a time: the limit of its queue is the guard.
  CONSTRAINT queue_dataset_alone CHECK (kind <> 'dataset' OR max_running IS NOT DISTINCT FROM 1)
);
-- Not unique by itself: who makes the same at the same time would meet there what queue_name_key lets pass.
CREATE INDEX queue_path ON queue (path);

-- The versions that workers of a model, or services of a dataset, have had; 0 is no version, and stands for "ended without
-- success". Of two of one model the greater id was registered later.
CREATE TABLE model_version (
  id            integer     GENERATED ALWAYS AS IDENTITY CONSTRAINT model_version_pkey PRIMARY KEY,
  queue_id      integer     NOT NULL CONSTRAINT model_version_queue_fkey REFERENCES queue,
  name          text        NOT NULL,
  registered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- How many jobs succeeded by it. Counted in memory and added every few seconds: no completion waits for this row.
  served        bigint      NOT NULL DEFAULT 0,
  -- A JSON Schema that its results must hold to, if its workers gave one.
  result_schema jsonb,
  CONSTRAINT model_version_name_key UNIQUE (queue_id, name)
);

-- Labels that results of a model have had, the first of them up to a limit: beside those that its workers say they can give.
CREATE TABLE seen_label (
  queue_id integer NOT NULL CONSTRAINT seen_label_queue_fkey REFERENCES queue,
  label    text    COLLATE "C" NOT NULL,
  CONSTRAINT seen_label_pkey PRIMARY KEY (queue_id, label)
);

-- How the queues stood, minute by minute, for some days.
CREATE TABLE queue_figure (
  queue_id      integer     NOT NULL CONSTRAINT queue_figure_queue_fkey REFERENCES queue,
  at            timestamptz NOT NULL,
  queued        bigint      NOT NULL,
  running       bigint      NOT NULL,
  -- Live ones.
  workers       bigint      NOT NULL,
  -- How long the first in line had waited.
  oldest_wait_s real,
  -- Jobs that had succeeded by then, by all versions.
  served        bigint      NOT NULL,
  CONSTRAINT queue_figure_pkey PRIMARY KEY (queue_id, at)
);

CREATE TABLE worker_session (
  id             uuid        CONSTRAINT worker_session_pkey PRIMARY KEY DEFAULT uuid_v7(),
  key_id         text        NOT NULL CONSTRAINT worker_session_key_fkey REFERENCES api_key,
  queue_id       integer     NOT NULL CONSTRAINT worker_session_queue_fkey REFERENCES queue,
  version_id     integer     NOT NULL CONSTRAINT worker_session_version_fkey REFERENCES model_version,
  instance       uuid        NOT NULL,
  batch_max      integer     NOT NULL,
  host           text,
  sdk            text,
  -- What its last beat listed: [{"id", "lease_no", "progress", "note"}].
  holds          jsonb       NOT NULL DEFAULT '[]',
  -- It takes no more: as its last beat said, or because it was asked to.
  draining       boolean     NOT NULL DEFAULT false,
  -- A person asked it to take no more, and its beats change nothing about it.
  drain_asked    boolean     NOT NULL DEFAULT false,
  -- Why it serves old code, or none, as its last beat said.
  trouble        text        CONSTRAINT worker_session_trouble_size CHECK (length(trouble) <= 2000),
  -- The suspect that it last ran alone, and under which lease; it gets nothing else meanwhile.
  solo_job       uuid,
  solo_lease     integer,
  -- Until then it is given nothing before it is empty, so that a waiting suspect finds a session.
  reserved_until timestamptz,
  registered_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  beat_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
  alive_until    timestamptz NOT NULL,
  ended_at       timestamptz,
  end_reason     text        CONSTRAINT worker_session_end_known CHECK (end_reason IN ('left', 'lost')),
  CONSTRAINT worker_session_end_whole CHECK ((ended_at IS NULL) = (end_reason IS NULL)),
  CONSTRAINT worker_session_solo_whole CHECK ((solo_job IS NULL) = (solo_lease IS NULL))
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX worker_session_live ON worker_session (key_id, instance, queue_id) WHERE ended_at IS NULL;
CREATE INDEX worker_session_by_queue ON worker_session (queue_id) WHERE ended_at IS NULL;
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
  -- EXIF orientation 1..8; null where the file says none.
  orientation smallint    CONSTRAINT image_orientation_range CHECK (orientation BETWEEN 1 AND 8),
  warnings    text[]      NOT NULL DEFAULT '{}',
  -- The upload that won: its bytes lie at {sha256}/{blob} and that path is never used again.
  blob        uuid        NOT NULL CONSTRAINT image_blob_key UNIQUE,
  created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- From when on what can be known of it without a model is to be worked out, the newest first: whoever begins it puts this off, and so
  -- holds it for as long. Null when nothing is to be done.
  derive_at   timestamptz DEFAULT clock_timestamp(),
  -- How often that was begun.
  derive_tries smallint   NOT NULL DEFAULT 0
);
CREATE INDEX image_underived ON image (derive_at) WHERE derive_at IS NOT NULL;

-- What is known of an image without any model. A row is written whole, and anew when it is worked out again.
CREATE TABLE derived (
  image_id      bigint      CONSTRAINT derived_pkey PRIMARY KEY CONSTRAINT derived_image_fkey REFERENCES image ON DELETE CASCADE,
  state         text        NOT NULL CONSTRAINT derived_state_known CHECK (state IN ('done', 'failed')),
  -- Why it has no picture.
  error         text        CONSTRAINT derived_error_size CHECK (length(error) BETWEEN 1 AND 300),
  -- What its EXIF says, by the camera's own clock, which knows no zone.
  taken_at      timestamp,
  camera        text        CONSTRAINT derived_camera_size CHECK (length(camera) BETWEEN 1 AND 100),
  lens          text        CONSTRAINT derived_lens_size CHECK (length(lens) BETWEEN 1 AND 100),
  -- Where it was taken, in degrees; kept only where the operator wants it.
  latitude      double precision CONSTRAINT derived_latitude_range CHECK (latitude BETWEEN -90 AND 90),
  longitude     double precision CONSTRAINT derived_longitude_range CHECK (longitude BETWEEN -180 AND 180),
  -- 64 bits, of which few differ between pictures that look alike.
  phash         bigint,
  -- A ThumbHash.
  placeholder   bytea       CONSTRAINT derived_placeholder_size CHECK (octet_length(placeholder) <= 64),
  -- Its thumbnails lie one after the other at {sha256}/{blob}, as the bytes of images do; where each of them ends there.
  thumbs_sha256 bytea       CONSTRAINT derived_thumbs_sha256_size CHECK (octet_length(thumbs_sha256) = 32),
  thumbs_blob   uuid        CONSTRAINT derived_thumbs_blob_key UNIQUE,
  thumbs_ends   integer[],
  at            timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT derived_failed_why CHECK ((state = 'failed') = (error IS NOT NULL)),
  CONSTRAINT derived_place_whole CHECK ((latitude IS NULL) = (longitude IS NULL)),
  CONSTRAINT derived_done_whole CHECK ((state = 'done') = (phash IS NOT NULL) AND (state = 'done') = (placeholder IS NOT NULL)
    AND (state = 'done') = (thumbs_sha256 IS NOT NULL) AND (state = 'done') = (thumbs_blob IS NOT NULL)
    AND (state = 'done') = (thumbs_ends IS NOT NULL))
);

-- A case's title to an image; who is a member of no case with one, for that user the image does not exist. A row for every name,
-- with its path, under which the image came in a submission. The newest of a case outlives its submission.
CREATE TABLE upload (
  case_id       uuid        NOT NULL CONSTRAINT upload_case_fkey REFERENCES casefile,
  image_id      bigint      NOT NULL CONSTRAINT upload_image_fkey REFERENCES image ON DELETE CASCADE,
  submission_id uuid        NOT NULL,
  -- Who brought it.
  account_id    uuid        NOT NULL,
  name          text        NOT NULL,
  at            timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT upload_pkey PRIMARY KEY (case_id, image_id, submission_id, name)
);
CREATE INDEX upload_image ON upload (image_id);
CREATE INDEX upload_newest ON upload (case_id, at DESC, image_id DESC);

-- What members of a case call its images.
CREATE TABLE tag (
  case_id    uuid        NOT NULL CONSTRAINT tag_case_fkey REFERENCES casefile,
  image_id   bigint      NOT NULL CONSTRAINT tag_image_fkey REFERENCES image ON DELETE CASCADE,
  tag        text        COLLATE "C" NOT NULL CONSTRAINT tag_size CHECK (length(tag) BETWEEN 1 AND 64),
  account_id uuid        NOT NULL,
  at         timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT tag_pkey PRIMARY KEY (case_id, image_id, tag)
);
CREATE INDEX tag_images ON tag (case_id, tag, image_id);
CREATE INDEX tag_image ON tag (image_id);

-- What members of a case write of it, or of one of its images.
CREATE TABLE note (
  id         uuid        CONSTRAINT note_pkey PRIMARY KEY DEFAULT uuid_v7(),
  case_id    uuid        NOT NULL CONSTRAINT note_case_fkey REFERENCES casefile,
  image_id   bigint      CONSTRAINT note_image_fkey REFERENCES image ON DELETE CASCADE,
  account_id uuid        NOT NULL CONSTRAINT note_account_fkey REFERENCES account,
  text       text        NOT NULL CONSTRAINT note_size CHECK (length(text) BETWEEN 1 AND 4000),
  at         timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX note_of_case ON note (case_id, id DESC);
CREATE INDEX note_of_image ON note (image_id, case_id, id DESC) WHERE image_id IS NOT NULL;

-- Jobs ---------------------------------------------------------------------------------------------

-- Canonical parameters (RFC 8785) by the SHA-256 of their text. Looked up before they are inserted: ON CONFLICT burns ids.
CREATE TABLE params (
  id   bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT params_pkey PRIMARY KEY,
  hash bytea  NOT NULL CONSTRAINT params_hash_key UNIQUE CONSTRAINT params_hash_size CHECK (octet_length(hash) = 32),
  body jsonb  NOT NULL
);

-- Live jobs. No index and no predicate contains a column that a claim changes (state, lease_no, attempt, session_id,
-- claim_id, started_at, begun_at, version), so a claim is a HOT update; one transaction may claim whole pages, so more than
-- half of each is left free. It refers to others without foreign keys, which would look each of them up again for every row:
-- queues and params never go, the transaction that makes a job locks its images and its submission, and an image with live
-- jobs cannot go (image_live_jobs).
CREATE TABLE job (
  id            uuid        CONSTRAINT job_pkey PRIMARY KEY,
  -- What it is about: an image, or a run, whose id is the job's own.
  image_id      bigint,
  run_id        uuid        CONSTRAINT job_run_is_itself CHECK (run_id = id),
  params_id     bigint      NOT NULL,
  run_at        timestamptz NOT NULL,
  -- A step of priority is worth ten minutes of waiting, so nothing starves.
  rank          bigint      NOT NULL GENERATED ALWAYS AS
                ((date_part('epoch', run_at AT TIME ZONE 'UTC') * 1000)::bigint - priority * 600000::bigint) STORED,
  finish_by     timestamptz NOT NULL,
  queue_id      integer     NOT NULL,
  lease_no      integer     NOT NULL DEFAULT 0,
  -- +1 with each transition: orders whatever mirrors this row.
  version       integer     NOT NULL DEFAULT 1,
  state         job_state   NOT NULL DEFAULT 'queued' CONSTRAINT job_live CHECK (state IN ('queued', 'running')),
  priority      smallint    NOT NULL DEFAULT 0 CONSTRAINT job_priority_range CHECK (priority BETWEEN -100 AND 100),
  attempt       smallint    NOT NULL DEFAULT 0,
  deaths        smallint    NOT NULL DEFAULT 0,
  -- Its time has come: set at insert or by the due pass.
  due           boolean     NOT NULL,
  -- Its worker died: it is claimed next by a session that holds nothing, and alone.
  suspect       boolean     NOT NULL DEFAULT false,
  -- The submission that made it, which a run may have none of, and whose that is.
  submission_id uuid,
  account_id    uuid        NOT NULL,
  -- The ended job that it tries again.
  retry_of      uuid,
  -- The claim that it runs under.
  session_id    uuid,
  claim_id      uuid,
  started_at    timestamptz,
  -- Its first claim, from which the retry budget counts.
  begun_at      timestamptz,
  -- Live jobs only are in this table, so this index is the single flight.
  CONSTRAINT job_single_flight UNIQUE (image_id, queue_id, params_id),
  CONSTRAINT job_image_or_run CHECK ((image_id IS NULL) <> (run_id IS NULL)),
  CONSTRAINT job_submitted CHECK (run_id IS NOT NULL OR submission_id IS NOT NULL),
  CONSTRAINT job_running_whole CHECK ((state = 'running') = (session_id IS NOT NULL)
                                  AND (state = 'running') = (claim_id IS NOT NULL)
                                  AND (state = 'running') = (started_at IS NOT NULL))
) WITH (fillfactor = 45, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 5000);
-- The fallback claim walks it by rank and passes over what runs.
CREATE INDEX job_ready ON job (queue_id, rank, id) WHERE due AND NOT suspect;
CREATE INDEX job_suspect ON job (queue_id, rank, id) WHERE suspect;
CREATE INDEX job_later ON job (run_at) WHERE NOT due;
-- For those that are to expire soon after they may run; the sweep finds the others, and no claim takes what is late.
CREATE INDEX job_finish_by ON job (finish_by) WHERE finish_by - run_at < interval '1 day';

-- One row per open claim; its jobs are written once. What is open is what `job` says: `open` only tells when the row may go.
CREATE TABLE claim (
  session_id  uuid        NOT NULL,
  claim_id    uuid        NOT NULL,
  queue_id    integer     NOT NULL,
  -- When its jobs were handed out, and, sent again, handed out again.
  at          timestamptz NOT NULL,
  -- Until then its jobs' attempts must be over.
  deadline_at timestamptz NOT NULL,
  -- How many of its jobs still run under it. A claim that holds jobs is not taken over: the statement that tries sets −1.
  open        integer     NOT NULL CONSTRAINT claim_open_range CHECK (open >= 0),
  jobs        uuid[]      NOT NULL,
  CONSTRAINT claim_pkey PRIMARY KEY (session_id, claim_id)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 5000);

-- Ended jobs; a row here never changes.
CREATE TABLE job_archive (
  id            uuid        NOT NULL,
  image_id      bigint,
  run_id        uuid        CONSTRAINT job_archive_run_is_itself CHECK (run_id = id),
  params_id     bigint      NOT NULL,
  run_at        timestamptz NOT NULL,
  finish_by     timestamptz NOT NULL,
  started_at    timestamptz,
  finished_at   timestamptz NOT NULL,
  queue_id      integer     NOT NULL,
  lease_no      integer     NOT NULL,
  version       integer     NOT NULL,
  -- The version of the model whose worker ended it; 0 when the service or a person did.
  version_id    integer     NOT NULL,
  state         job_state   NOT NULL CONSTRAINT job_archive_ended CHECK (state IN ('succeeded', 'failed', 'cancelled')),
  reason        fail_reason CONSTRAINT job_archive_reason CHECK ((state = 'failed') = (reason IS NOT NULL)),
  duration_s    real,
  priority      smallint    NOT NULL,
  attempt       smallint    NOT NULL,
  deaths        smallint    NOT NULL,
  submission_id uuid,
  account_id    uuid        NOT NULL,
  retry_of      uuid,
  -- The session whose completion ended it, and its key; null when the service or a person did.
  session_id    uuid,
  key_id        text,
  CONSTRAINT job_archive_pkey PRIMARY KEY (id),
  CONSTRAINT job_archive_image_or_run CHECK ((image_id IS NULL) <> (run_id IS NULL))
) PARTITION BY RANGE (id);
CREATE TABLE job_archive_default PARTITION OF job_archive DEFAULT;
-- For redrive and lists, which look for what did not succeed: of all models, or of one.
CREATE INDEX job_archive_unsuccessful ON job_archive (id) WHERE state <> 'succeeded';
CREATE INDEX job_archive_unsuccessful_of_queue ON job_archive (queue_id, id) WHERE state <> 'succeeded';

-- What a version of a model said of an image with given params, and, at version 0, the newest job that ended without
-- success: cache, result and newest state in one. The newest job of an image and model is that with the greatest id among
-- its rows here; the newest success the same where version_id > 0.
CREATE TABLE outcome (
  image_id    bigint      NOT NULL,
  params_id   bigint      NOT NULL,
  started_at  timestamptz,
  finished_at timestamptz NOT NULL,
  -- The transaction that wrote it: in this order what results say is written down.
  written     xid8        NOT NULL DEFAULT pg_current_xact_id(),
  queue_id    integer     NOT NULL,
  version_id  integer     NOT NULL,
  job_version integer     NOT NULL,
  state       job_state   NOT NULL CONSTRAINT outcome_success CHECK ((state = 'succeeded') = (version_id > 0)),
  reason      fail_reason,
  attempt     smallint    NOT NULL,
  job_id      uuid        NOT NULL,
  -- {"type", "message"} of a failure.
  error       jsonb,
  document    jsonb       CONSTRAINT outcome_document CHECK ((state = 'succeeded') = (document IS NOT NULL)),
  CONSTRAINT outcome_pkey PRIMARY KEY (image_id, queue_id, params_id, version_id)
) WITH (fillfactor = 90);
-- What comes last comes at its end, and what one transaction wrote shares an entry.
CREATE INDEX outcome_written ON outcome (written);
-- For retention, and for searches for what a model with few results said. Outcomes are written in order of time but for reruns, so a
-- block range serves at next to no cost.
CREATE INDEX outcome_age ON outcome USING brin (finished_at, queue_id int4_minmax_multi_ops) WITH (pages_per_range = 32, autosummarize = on);
-- Of the few that did not succeed.
CREATE INDEX outcome_unsuccessful ON outcome (queue_id, image_id) WHERE version_id = 0;

-- What the results in `outcome` say, an item or a field a row: only what is searched, and of a long result only a part. No job pays for
-- them: they are written a moment after the outcome whose key they begin with, in place of what it said before, and go with it.
CREATE TABLE item (
  image_id   bigint    NOT NULL,
  params_id  bigint    NOT NULL,
  queue_id   integer   NOT NULL,
  version_id integer   NOT NULL,
  -- An item's score; a field's number.
  value      double precision,
  -- box, label, text, hash, points, or field.
  kind       text      NOT NULL,
  -- Its place among the items of the document; of a field, one below 0.
  place      smallint  NOT NULL,
  -- What it is labelled, the algorithm of a hash, or the name of a field.
  label      text      COLLATE "C",
  -- A text that was read, a hash, or the text of a field.
  text       text
);
CREATE INDEX item_image ON item (image_id);
-- Labels by score, and fields by number.
CREATE INDEX item_label ON item (label, value);

-- Tries that ended without success. A success is in the archive.
CREATE TABLE attempt (
  job_id        uuid        NOT NULL,
  lease_no      integer     NOT NULL,
  attempt       smallint    NOT NULL,
  -- The job's version when the try ended.
  version       integer     NOT NULL,
  session_id    uuid        NOT NULL,
  outcome       text        NOT NULL CONSTRAINT attempt_outcome_known
                            CHECK (outcome IN ('retry', 'rejected', 'released', 'lost', 'deadline', 'cancelled')),
  error_type    text,
  error_message text,
  traceback     text,
  started_at    timestamptz NOT NULL,
  ended_at      timestamptz NOT NULL,
  CONSTRAINT attempt_pkey PRIMARY KEY (job_id, lease_no)
);

-- Training -----------------------------------------------------------------------------------------

-- What a run is beside its job, from its making on; it stays when the archive lets the job go. Written under the lock of its job's
-- row, as everything that hangs on it, so that what a worker may write is decided and written at once.
CREATE TABLE training_run (
  job_id        uuid        CONSTRAINT training_run_pkey PRIMARY KEY,
  account_id    uuid        NOT NULL CONSTRAINT training_run_account_fkey REFERENCES account,
  queue_id      integer     NOT NULL CONSTRAINT training_run_queue_fkey REFERENCES queue,
  params_id     bigint      NOT NULL CONSTRAINT training_run_params_fkey REFERENCES params,
  -- The client's own id of it, which makes the request idempotent.
  submission_id uuid,
  retry_of      uuid,
  -- +1 at each change that people see, besides the transitions that the job's version counts; at the end both in one.
  revision      integer     NOT NULL DEFAULT 0,
  -- Null while it lives; then it is told here, and from here on.
  state         job_state   CONSTRAINT training_run_ended CHECK (state IN ('succeeded', 'failed', 'cancelled')),
  reason        fail_reason CONSTRAINT training_run_reason CHECK ((state IS NOT DISTINCT FROM 'failed') = (reason IS NOT NULL)),
  attempt       smallint,
  -- The lease whose completion was accepted: it alone says which model file counts.
  lease_no      integer,
  -- What the service returned, as it wrote it.
  result        jsonb,
  -- {"type", "message"} of a failure.
  error         jsonb,
  started_at    timestamptz,
  finished_at   timestamptz,
  CONSTRAINT training_run_submission_key UNIQUE (account_id, submission_id),
  CONSTRAINT training_run_end_whole CHECK ((state IS NULL) = (finished_at IS NULL) AND (state IS NULL) = (attempt IS NULL)),
  CONSTRAINT training_run_success_whole CHECK ((state IS NOT DISTINCT FROM 'succeeded') = (lease_no IS NOT NULL))
) WITH (fillfactor = 70);
CREATE INDEX training_run_of_account ON training_run (account_id, job_id DESC);

-- What a run measured, epoch by epoch. A later lease of the same attempt measures again where it resumes.
CREATE TABLE training_metric (
  job_id    uuid        NOT NULL CONSTRAINT training_metric_run_fkey REFERENCES training_run,
  attempt   smallint    NOT NULL,
  epoch     integer     NOT NULL CONSTRAINT training_metric_epoch_range CHECK (epoch BETWEEN 0 AND 1000000),
  lease_no  integer     NOT NULL,
  -- {"loss": 0.3, …}
  metrics   jsonb       NOT NULL,
  at        timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT training_metric_pkey PRIMARY KEY (job_id, attempt, epoch)
);

-- The files of a run: of each kind the newest of each lease. The bytes lie at {sha256}/{blob}, as those of images do. A run that
-- goes on where another ended has its checkpoint from lease 0, with the other's bytes.
CREATE TABLE training_file (
  job_id   uuid        NOT NULL CONSTRAINT training_file_run_fkey REFERENCES training_run,
  kind     text        NOT NULL CONSTRAINT training_file_kind_known CHECK (kind IN ('checkpoint', 'model')),
  lease_no integer     NOT NULL,
  attempt  smallint    NOT NULL,
  -- Of a checkpoint: after which epoch.
  epoch    integer,
  -- Of a model: what its service called it.
  name     text        CONSTRAINT training_file_name_size CHECK (octet_length(name) BETWEEN 1 AND 255),
  bytes    bigint      NOT NULL,
  sha256   bytea       NOT NULL CONSTRAINT training_file_sha256_size CHECK (octet_length(sha256) = 32),
  blob     uuid        NOT NULL,
  -- When its upload began: of two under one lease that come at once, the later is the newer.
  begun_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  at       timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT training_file_pkey PRIMARY KEY (job_id, kind, lease_no),
  CONSTRAINT training_file_name_of_model CHECK ((kind = 'model') = (name IS NOT NULL))
);
CREATE INDEX training_file_blob ON training_file (blob);

-- Runs whose model file is a version of a model.
CREATE TABLE promotion (
  version_id integer     CONSTRAINT promotion_pkey PRIMARY KEY CONSTRAINT promotion_version_fkey REFERENCES model_version,
  job_id     uuid        NOT NULL CONSTRAINT promotion_run_fkey REFERENCES training_run,
  account_id uuid        NOT NULL CONSTRAINT promotion_account_fkey REFERENCES account,
  at         timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX promotion_of_run ON promotion (job_id);

-- Submissions --------------------------------------------------------------------------------------

CREATE TABLE submission (
  id         uuid        CONSTRAINT submission_pkey PRIMARY KEY DEFAULT uuid_v7(),
  account_id uuid        NOT NULL CONSTRAINT submission_account_fkey REFERENCES account,
  -- Where its images go. No foreign key: the statement that opens a submission locks its case.
  case_id    uuid        NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- What all its requests came to: {"images", "counts": [[queue, state, requests], …]}. Null until somebody counted them after the
  -- last had ended, and again when one is added or goes.
  tally      jsonb
);
CREATE INDEX submission_of_case ON submission (case_id, created_at DESC, id DESC);
CREATE INDEX submission_newest ON submission (created_at DESC, id DESC);

-- Who waits for which job, or was answered by it. Written under the lock of its submission, which holds the rest in place.
CREATE TABLE request (
  submission_id uuid        NOT NULL,
  image_id      bigint      NOT NULL,
  params_id     bigint      NOT NULL,
  queue_id      integer     NOT NULL,
  -- How its job ended, where that is known: the archive may have let the job go.
  state         job_state,
  job_id        uuid        NOT NULL,
  withdrawn_at  timestamptz,
  CONSTRAINT request_pkey PRIMARY KEY (submission_id, image_id, queue_id, params_id)
);
-- For cancelling: who else waits.
CREATE INDEX request_job ON request (job_id);
-- For retention and erasure. New images come in order of their ids, so a block range serves at next to no cost.
CREATE INDEX request_image ON request USING brin (image_id int8_minmax_multi_ops) WITH (pages_per_range = 16);

-- What goes with an image, and what keeps it.
CREATE FUNCTION forget_images() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM job WHERE image_id IN (SELECT id FROM gone)) THEN
    RAISE EXCEPTION 'an image with live jobs cannot go' USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'image_live_jobs';
  END IF;
  WITH lost AS (DELETE FROM request WHERE image_id IN (SELECT id FROM gone) RETURNING submission_id)
  -- Only those that were counted, which are locked before the images are.
  UPDATE submission SET tally = NULL WHERE tally IS NOT NULL AND id IN (SELECT submission_id FROM lost);
  DELETE FROM outcome WHERE image_id IN (SELECT id FROM gone);
  DELETE FROM item WHERE image_id IN (SELECT id FROM gone);
  RETURN NULL;
END
$$;
CREATE TRIGGER image_forgotten AFTER DELETE ON image REFERENCING OLD TABLE AS gone
  FOR EACH STATEMENT EXECUTE FUNCTION forget_images();

-- Exports ------------------------------------------------------------------------------------------

-- What somebody takes away of a case: asked for, made in the background, kept for a while. A row goes with its bytes: when its time is
-- up, when somebody wants no more of it, or with its case.
CREATE TABLE export (
  id          uuid        CONSTRAINT export_pkey PRIMARY KEY DEFAULT uuid_v7(),
  case_id     uuid        NOT NULL CONSTRAINT export_case_fkey REFERENCES casefile,
  account_id  uuid        NOT NULL CONSTRAINT export_account_fkey REFERENCES account,
  -- The filter; empty for all images of the case.
  filter      text        NOT NULL CONSTRAINT export_filter_size CHECK (octet_length(filter) <= 4096),
  format      text        NOT NULL CONSTRAINT export_format_known CHECK (format IN ('csv', 'ndjson', 'coco', 'case', 'zip')),
  state       text        NOT NULL DEFAULT 'queued' CONSTRAINT export_state_known
                          CHECK (state IN ('queued', 'running', 'succeeded', 'failed')),
  -- From when on it is to be made: whoever makes it puts this off again and again, and so holds it. Null when it has ended.
  build_at    timestamptz DEFAULT clock_timestamp(),
  -- How often that was begun.
  tries       smallint    NOT NULL DEFAULT 0,
  -- How many images fit, once that is known, and how many of them are done.
  images      integer,
  images_done integer     NOT NULL DEFAULT 0,
  -- Its bytes lie at {sha256}/{blob}, as those of images do.
  bytes       bigint,
  sha256      bytea       CONSTRAINT export_sha256_size CHECK (octet_length(sha256) = 32),
  blob        uuid        CONSTRAINT export_blob_key UNIQUE,
  -- Why it failed.
  error       text        CONSTRAINT export_error_size CHECK (length(error) BETWEEN 1 AND 500),
  created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  finished_at timestamptz,
  expires_at  timestamptz,
  CONSTRAINT export_end_whole CHECK ((state IN ('succeeded', 'failed')) = (build_at IS NULL) AND (build_at IS NULL) = (finished_at IS NOT NULL)
    AND (build_at IS NULL) = (expires_at IS NOT NULL)),
  CONSTRAINT export_failed_why CHECK ((state = 'failed') = (error IS NOT NULL)),
  CONSTRAINT export_succeeded_whole CHECK ((state = 'succeeded') = (blob IS NOT NULL) AND (blob IS NULL) = (sha256 IS NULL)
    AND (blob IS NULL) = (bytes IS NULL))
);
CREATE INDEX export_of_account ON export (account_id, id DESC);
CREATE INDEX export_of_case ON export (case_id, id DESC);
CREATE INDEX export_unbuilt ON export (build_at) WHERE build_at IS NOT NULL;
CREATE INDEX export_over ON export (expires_at) WHERE expires_at IS NOT NULL;

-- Audit --------------------------------------------------------------------------------------------

-- Exceptional transitions and administrative acts, by the statement that made them: ids, codes and numbers only, so that
-- erasing an image never touches it. Plain transitions (created, claimed, succeeded) are told by `audit_events` from the
-- rows that they leave.
CREATE TABLE job_event (
  at            timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- When the jobs were handed out before, for `reclaimed`; when the first was, for what is told in a sum.
  former_at     timestamptz,
  queue_id      integer,
  -- The job's version after it.
  version       integer,
  lease_no      integer,
  -- How often, for what is told in a sum; `at` was the last.
  count         integer,
  attempt       smallint,
  job_id        uuid,
  submission_id uuid,
  -- The user who acted.
  account_id    uuid,
  session_id    uuid,
  code          text        NOT NULL,
  key_id        text,
  -- The account, case, or image, acted upon.
  subject_id    text,
  reason        text
) PARTITION BY RANGE (at);
CREATE TABLE job_event_default PARTITION OF job_event DEFAULT;
CREATE INDEX job_event_job ON job_event (job_id);
-- For who looks for what people did: no event that a job has by itself pays for it.
CREATE INDEX job_event_act ON job_event (at) WHERE job_id IS NULL OR (account_id IS NOT NULL AND code <> 'attached');
-- What was done with a case, or to an account; plain transitions have no subject.
CREATE INDEX job_event_subject ON job_event (subject_id) WHERE subject_id IS NOT NULL;

CREATE VIEW audit_jobs AS
  SELECT j.id, encode(i.md5, 'hex') AS md5, q.path AS model, j.state::text AS state, NULL::text AS reason, j.priority,
         j.attempt, j.deaths, j.lease_no::bigint AS lease_no, j.session_id AS worker, v.name AS version, s.key_id,
         uuid_v7_at(j.id) AS created_at, j.run_at, j.started_at, NULL::timestamptz AS finished_at, j.finish_by,
         NULL::real AS duration_s, j.retry_of
  FROM job AS j
  JOIN queue AS q ON q.id = j.queue_id
  LEFT JOIN image AS i ON i.id = j.image_id
  LEFT JOIN worker_session AS s ON s.id = j.session_id
  LEFT JOIN model_version AS v ON v.id = s.version_id
  UNION ALL
  SELECT a.id, encode(i.md5, 'hex'), q.path, a.state::text, a.reason::text, a.priority,
         a.attempt, a.deaths, a.lease_no, a.session_id, v.name, a.key_id,
         uuid_v7_at(a.id), a.run_at, a.started_at, a.finished_at, a.finish_by,
         a.duration_s, a.retry_of
  FROM job_archive AS a
  JOIN queue AS q ON q.id = a.queue_id
  LEFT JOIN image AS i ON i.id = a.image_id
  LEFT JOIN model_version AS v ON v.id = a.version_id;
COMMENT ON VIEW audit_jobs IS 'Every job, live and ended: its image by MD5, model, state, tries, worker, key and times.';

CREATE VIEW audit_events AS
  SELECT to_char(e.at AT TIME ZONE 'UTC', 'YYYYMMDDHH24MISSUS') || coalesce('-' || e.job_id || '-' || lpad(e.version::text, 10, '0'), '') AS id,
         e.at, e.code, e.job_id, e.submission_id, e.account_id, a.name AS account, e.subject_id,
         -- Looked up only where it is asked for.
         coalesce((SELECT s.name FROM account AS s WHERE s.id = CASE WHEN e.subject_id LIKE '________-%' THEN e.subject_id::uuid END),
                  (SELECT nullif(c.name, '') FROM casefile AS c WHERE c.id = CASE WHEN e.subject_id LIKE '________-%' THEN e.subject_id::uuid END),
                  (SELECT encode(i.md5, 'hex') FROM image AS i
                   WHERE i.id = CASE WHEN e.subject_id ~ '^[0-9]{1,18}$' THEN e.subject_id::bigint END)) AS subject,
         e.key_id, e.session_id AS worker, q.path AS model, e.lease_no::bigint AS lease_no, e.attempt, e.reason, e.count, e.since
  FROM (
    SELECT at, code, job_id, submission_id, account_id, subject_id, key_id, session_id, queue_id, lease_no, attempt, version, reason,
           count, CASE WHEN count IS NOT NULL THEN former_at END AS since
    FROM job_event
    UNION ALL
    -- Every job was made once.
    SELECT uuid_v7_at(id), 'created', id, submission_id, account_id, NULL, NULL, NULL, queue_id, NULL, NULL, 1, NULL, NULL, NULL FROM job
    UNION ALL
    SELECT uuid_v7_at(id), 'created', id, submission_id, account_id, NULL, NULL, NULL, queue_id, NULL, NULL, 1, NULL, NULL, NULL FROM job_archive
    UNION ALL
    -- A lease began with a claim, unless it was handed out again; what it led to says when it began. Its place among events of the
    -- same instant is its lease's: the job's version goes on rising while it runs.
    SELECT c.started_at, 'claimed', c.job_id, NULL, NULL, NULL, coalesce(c.key_id, s.key_id), c.session_id, c.queue_id, c.lease_no, c.attempt, c.lease_no + 1, NULL, NULL, NULL
    FROM (
      SELECT id AS job_id, session_id, queue_id, started_at, lease_no, attempt, NULL AS key_id FROM job WHERE state = 'running'
      UNION ALL
      SELECT id, session_id, queue_id, started_at, lease_no, attempt, key_id FROM job_archive WHERE state = 'succeeded'
      UNION ALL
      -- A try's session may be forgotten before the job that it was of.
      SELECT t.job_id, t.session_id, coalesce(j.queue_id, a.queue_id), t.started_at, t.lease_no, t.attempt, NULL
      FROM attempt AS t LEFT JOIN job AS j ON j.id = t.job_id LEFT JOIN job_archive AS a ON a.id = t.job_id
    ) AS c
    LEFT JOIN worker_session AS s ON s.id = c.session_id
    WHERE NOT EXISTS (SELECT FROM job_event AS r WHERE r.job_id = c.job_id AND r.code = 'reclaimed' AND r.lease_no = c.lease_no)
    UNION ALL
    SELECT r.former_at, 'claimed', r.job_id, NULL, NULL, NULL, r.key_id, r.session_id, r.queue_id, r.lease_no - 1, r.attempt, r.lease_no, NULL, NULL, NULL
    FROM job_event AS r
    WHERE r.code = 'reclaimed'
      AND NOT EXISTS (SELECT FROM job_event AS b WHERE b.job_id = r.job_id AND b.code = 'reclaimed' AND b.lease_no = r.lease_no - 1)
    UNION ALL
    SELECT finished_at, 'succeeded', id, NULL, NULL, NULL, key_id, session_id, queue_id, lease_no, attempt, version, NULL, NULL, NULL
    FROM job_archive WHERE state = 'succeeded'
  ) AS e
  LEFT JOIN account AS a ON a.id = e.account_id
  LEFT JOIN queue AS q ON q.id = e.queue_id;
COMMENT ON VIEW audit_events IS 'Every transition and administrative act in order of id: who did what to which job, account, key or model.';

CREATE VIEW audit_cases AS
  SELECT c.id, nullif(c.name, '') AS name, o.name AS own_of, b.name AS created_by, c.created_at, c.closed_at, c.deleted_at,
         d.name AS deleted_by, (SELECT count(*) FROM member AS m WHERE m.case_id = c.id) AS members,
         (c.removed ->> 'titles')::bigint AS titles_removed, (c.removed ->> 'images')::bigint AS images_removed,
         (c.removed ->> 'bytes')::bigint AS bytes_removed, (c.removed ->> 'done')::boolean AS removed
  FROM casefile AS c
  LEFT JOIN account AS o ON o.id = c.own_of
  LEFT JOIN account AS b ON b.id = c.created_by
  LEFT JOIN account AS d ON d.id = c.deleted_by;
COMMENT ON VIEW audit_cases IS 'Every case, deleted ones too: whose own it is, who made, closed and deleted it, and what went with it.';

CREATE VIEW audit_members AS
  SELECT m.case_id, c.name AS case_name, a.name AS account, m.role, b.name AS added_by, m.at AS added_at
  FROM member AS m
  JOIN casefile AS c ON c.id = m.case_id
  JOIN account AS a ON a.id = m.account_id
  LEFT JOIN account AS b ON b.id = m.added_by;
COMMENT ON VIEW audit_members IS 'Who may see and change which case now; events tell who could before.';

CREATE VIEW audit_runs AS
  SELECT r.job_id AS id, q.name AS dataset, r.account_id, a.name AS account, coalesce(r.state, j.state)::text AS state,
         r.reason::text AS reason, coalesce(r.attempt, j.attempt) AS attempt, coalesce(r.lease_no, j.lease_no)::bigint AS lease_no,
         uuid_v7_at(r.job_id) AS created_at, coalesce(r.started_at, j.started_at) AS started_at, r.finished_at, r.retry_of,
         (SELECT count(*) FROM training_metric AS m WHERE m.job_id = r.job_id) AS points,
         (SELECT max(f.epoch) FROM training_file AS f WHERE f.job_id = r.job_id AND f.kind = 'checkpoint') AS checkpoint_epoch,
         encode(f.sha256, 'hex') AS model_sha256, f.bytes AS model_bytes,
         (SELECT array_agg(t.path || ' ' || v.name ORDER BY p.at)
          FROM promotion AS p JOIN model_version AS v ON v.id = p.version_id JOIN queue AS t ON t.id = v.queue_id
          WHERE p.job_id = r.job_id) AS promoted
  FROM training_run AS r
  JOIN queue AS q ON q.id = r.queue_id
  JOIN account AS a ON a.id = r.account_id
  LEFT JOIN job AS j ON j.id = r.job_id
  LEFT JOIN training_file AS f ON f.job_id = r.job_id AND f.kind = 'model' AND f.lease_no = r.lease_no;
COMMENT ON VIEW audit_runs IS 'Every training run: its dataset, owner, state and times, what it measured and made, and the versions of models that it became.';

CREATE VIEW audit_keys AS
  SELECT k.id, k.service, k.models, a.name AS owner, k.trusted, k.detail, k.created_at, k.expires_at, k.disabled_at,
         k.last_used_at,
         (SELECT count(*) FROM worker_session AS s WHERE s.key_id = k.id AND s.ended_at IS NULL) AS live_workers
  FROM api_key AS k
  LEFT JOIN account AS a ON a.id = k.owner;
COMMENT ON VIEW audit_keys IS 'Every API key without its secret: service type, scope, owner, life and live workers.';

CREATE VIEW audit_items AS
  SELECT encode(i.md5, 'hex') AS md5, q.name AS model, v.name AS version, o.job_id, t.place, t.kind, t.label, t.value AS score, t.text,
         o.finished_at
  FROM item AS t
  JOIN outcome AS o USING (image_id, queue_id, params_id, version_id)
  JOIN image AS i ON i.id = t.image_id
  JOIN queue AS q ON q.id = t.queue_id
  JOIN model_version AS v ON v.id = t.version_id
  WHERE t.kind <> 'field';
COMMENT ON VIEW audit_items IS 'What the kept results say, an item a row: label, score and text without looking into a document.';

CREATE VIEW audit_fields AS
  SELECT encode(i.md5, 'hex') AS md5, q.name AS model, v.name AS version, o.job_id, t.label AS name, t.value AS number, t.text, o.finished_at
  FROM item AS t
  JOIN outcome AS o USING (image_id, queue_id, params_id, version_id)
  JOIN image AS i ON i.id = t.image_id
  JOIN queue AS q ON q.id = t.queue_id
  JOIN model_version AS v ON v.id = t.version_id
  WHERE t.kind = 'field';
COMMENT ON VIEW audit_fields IS 'What the kept results say in their fields, a field a row: a number, or a text.';

CREATE VIEW audit_derived AS
  SELECT encode(i.md5, 'hex') AS md5, d.state, d.error, d.taken_at, d.camera, d.lens, d.latitude, d.longitude,
         lpad(to_hex(d.phash), 16, '0') AS phash, d.at AS made_at
  FROM derived AS d
  JOIN image AS i ON i.id = d.image_id;
COMMENT ON VIEW audit_derived IS 'What is known of every image without any model: what its EXIF says, its perceptual hash, and why it could not be decoded.';

-- Search -------------------------------------------------------------------------------------------

-- An administrator sees all titles, newest first, as a member does those of a case. By an expression, so that no walk along the titles of
-- one case, which may have none, goes along those of all.
CREATE INDEX upload_at ON upload ((at AT TIME ZONE 'UTC') DESC, image_id DESC);
-- What is known of images without a model is written in the background: these delay nobody.
CREATE INDEX derived_taken ON derived (taken_at) WHERE taken_at IS NOT NULL;
CREATE INDEX derived_camera ON derived (lower(camera)) WHERE camera IS NOT NULL;
-- Two hashes that differ in few bits agree in one of their four parts, but for fewer.
CREATE INDEX derived_phash_0 ON derived (((phash & 65535)::integer));
CREATE INDEX derived_phash_1 ON derived (((phash >> 16 & 65535)::integer));
CREATE INDEX derived_phash_2 ON derived (((phash >> 32 & 65535)::integer));
CREATE INDEX derived_phash_3 ON derived (((phash >> 48 & 65535)::integer));

-- Indexes texts that were read, and file names, by threes of characters; answers why it cannot. Without them a search for a rare name walks
-- along the titles until it is found. New rows are collected and sorted in together, a few at a time.
CREATE FUNCTION index_texts() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  IF to_regclass('item_text') IS NULL THEN
    CREATE EXTENSION IF NOT EXISTS pg_trgm;
    CREATE INDEX upload_name ON upload USING gin (lower(name) gin_trgm_ops) WITH (gin_pending_list_limit = 512);
    CREATE INDEX item_text ON item USING gin (lower(text) gin_trgm_ops) WITH (gin_pending_list_limit = 512) WHERE kind = 'text';
  END IF;
  RETURN NULL;
EXCEPTION WHEN insufficient_privilege OR feature_not_supported OR undefined_file OR undefined_object THEN
  RETURN SQLERRM;
END
$$;
SELECT index_texts();

-- Housekeeping -------------------------------------------------------------------------------------

CREATE TABLE setting (
  name  text CONSTRAINT setting_pkey PRIMARY KEY,
  value text NOT NULL
);

CREATE TABLE tick (
  name    text CONSTRAINT tick_pkey PRIMARY KEY,
  last_at timestamptz NOT NULL
);

-- Makes one partition, of a month from its first day on, unless it is there. Rows that fell into the DEFAULT partition are
-- moved first, or the ATTACH would fail for ever.
CREATE FUNCTION make_partition(parent text, month timestamp, key text, lower text, upper text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  name text := parent || '_' || to_char(month, 'YYYYMM');
BEGIN
  IF to_regclass(name) IS NOT NULL THEN
    RETURN false;
  END IF;
  EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', name, parent);
  EXECUTE format('WITH moved AS (DELETE FROM %I WHERE %I >= %L AND %I < %L RETURNING *) INSERT INTO %I SELECT * FROM moved',
                 parent || '_default', key, lower, key, upper, name);
  EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, name, lower, upper);
  RETURN true;
END
$$;

-- Makes the monthly partitions of the archive and the events from this month to `months_ahead` months on, only what is
-- missing; answers how many. Months, because a statement that cannot prune locks every partition. Like all that makes and removes
-- partitions it works with the rights of the tables' owner, on a path that nobody else can write to: the application has none.
CREATE FUNCTION make_partitions(months_ahead integer) RETURNS integer LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  first   timestamp;
  lower   timestamptz;
  upper   timestamptz;
  made    integer := 0;
BEGIN
  SET LOCAL lock_timeout = '1s';
  FOR first IN SELECT generate_series(date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC'),
                                      date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC') + least(months_ahead, 12) * interval '1 month',
                                      interval '1 month') LOOP
    lower := first AT TIME ZONE 'UTC';
    upper := (first + interval '1 month') AT TIME ZONE 'UTC';
    made := made + make_partition('job_archive', first, 'id', uuid_v7_floor(lower)::text, uuid_v7_floor(upper)::text)::integer
                 + make_partition('job_event', first, 'at', lower::text, upper::text)::integer;
  END LOOP;
  RETURN made;
END
$$;

-- Up to when history may go that is kept for `keep`: never anything that a live job needs, however old it is.
CREATE FUNCTION history_horizon(keep interval) RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
  SELECT least(clock_timestamp() - keep, (SELECT uuid_v7_at(id) FROM job ORDER BY id LIMIT 1))
$$;

-- Before when a job must have ended to go, if ended jobs are kept for `keep`: in a month whose events, which go by whole months, may
-- go as well. So no event outlives the job that it tells of.
CREATE FUNCTION ended_horizon(keep interval) RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
  SELECT date_trunc('month', clock_timestamp() - keep, 'UTC')
$$;

-- The monthly partitions of `job_archive` or `job_event` that end before an instant, oldest first.
CREATE FUNCTION old_partitions(parent text, horizon timestamptz) RETURNS SETOF text LANGUAGE sql STABLE AS $$
  SELECT c.relname::text
  FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
  WHERE i.inhparent = parent::regclass AND c.relname ~ '_[0-9]{6}$'
    AND (to_date(right(c.relname, 6), 'YYYYMM') + interval '1 month') AT TIME ZONE 'UTC' <= horizon
  ORDER BY c.relname
$$;

-- Drops one of the old partitions, if what it holds is kept for `keep`, and writes it down; answers whether it was one. A lock that
-- is not free within a moment refuses it: traffic must not queue up behind it.
CREATE FUNCTION drop_partition(parent text, name text, keep interval) RETURNS boolean LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF parent NOT IN ('job_archive', 'job_event')
     OR name NOT IN (SELECT old_partitions(parent, history_horizon(greatest(keep, interval '1 day')))) THEN
    RETURN false;
  END IF;
  SET LOCAL lock_timeout = '200ms';
  EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', parent, name);
  EXECUTE format('DROP TABLE %I', name);
  INSERT INTO job_event (code, reason) VALUES ('history_removed', name);
  RETURN true;
END
$$;

-- Removes old events that fell into the DEFAULT partition, at most so many; answers how many.
CREATE FUNCTION remove_stray_events(keep interval, most bigint) RETURNS bigint LANGUAGE sql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
  WITH gone AS (
    DELETE FROM job_event_default WHERE ctid IN (
      SELECT ctid FROM job_event_default WHERE at < (SELECT history_horizon(greatest(keep, interval '1 day'))) LIMIT most)
    RETURNING 1
  )
  SELECT count(*) FROM gone
$$;

-- Whoever may call these is said by the grants of `darkroom migrate`, with all else that a role may do.
REVOKE EXECUTE ON FUNCTION make_partitions(integer), drop_partition(text, text, interval), remove_stray_events(interval, bigint) FROM PUBLIC;
