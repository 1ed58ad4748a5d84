-- What each log-in role may do, whole: the statements that give it, for the owner of the tables to carry out.
-- $1 the application's role, $2 the auditor's; null where there is none.
WITH application (rights, object) AS (VALUES
  ('SELECT, INSERT, UPDATE', 'TABLE account'),
  ('SELECT, INSERT, UPDATE, DELETE', 'TABLE ended_token'),
  ('SELECT, INSERT, UPDATE', 'TABLE casefile'),
  ('SELECT, INSERT, UPDATE, DELETE', 'TABLE member'),
  ('SELECT, INSERT, UPDATE, DELETE', 'TABLE saved_filter'),
  ('SELECT, INSERT, DELETE', 'TABLE tag'),
  ('SELECT, INSERT, DELETE', 'TABLE note'),
  ('SELECT, INSERT, UPDATE, DELETE', 'TABLE export'),
  ('SELECT, INSERT, UPDATE', 'TABLE api_key'),
  ('SELECT, INSERT, UPDATE', 'TABLE queue'),
  ('SELECT, INSERT, UPDATE', 'TABLE model_version'),
  ('SELECT, INSERT', 'TABLE seen_label'),
  ('SELECT, INSERT, DELETE', 'TABLE queue_figure'),
  ('SELECT, INSERT, UPDATE, DELETE', 'TABLE worker_session'),
  ('SELECT, INSERT, UPDATE, DELETE', 'TABLE image'),
  ('SELECT, INSERT, UPDATE', 'TABLE derived'),
  ('SELECT, INSERT, UPDATE, DELETE', 'TABLE upload'),
  ('SELECT, INSERT', 'TABLE params'),
  ('SELECT, INSERT, UPDATE, DELETE', 'TABLE job'),
  ('SELECT, INSERT, UPDATE, DELETE', 'TABLE claim'),
  ('SELECT, INSERT, UPDATE, DELETE', 'TABLE outcome'),
  ('SELECT, INSERT, DELETE', 'TABLE item'),
  ('SELECT, INSERT, UPDATE, DELETE', 'TABLE attempt'),
  ('SELECT, INSERT, UPDATE, DELETE', 'TABLE training_run'),
  ('SELECT, INSERT, UPDATE, DELETE', 'TABLE training_metric'),
  ('SELECT, INSERT, UPDATE, DELETE', 'TABLE training_file'),
  ('SELECT, INSERT, DELETE', 'TABLE promotion'),
  ('SELECT, INSERT, UPDATE, DELETE', 'TABLE submission'),
  ('SELECT, INSERT, UPDATE, DELETE', 'TABLE request'),
  -- What has been is only added to. Months of it go by drop_partition, and rows without a month as soon as they may.
  ('SELECT, INSERT', 'TABLE job_archive'),
  ('SELECT, DELETE', 'TABLE job_archive_default'),
  ('SELECT, INSERT', 'TABLE job_event'),
  ('SELECT', 'TABLE job_event_default'),
  ('SELECT', 'TABLE audit_events'),
  ('SELECT, INSERT, UPDATE, DELETE', 'TABLE setting'),
  ('SELECT, INSERT, UPDATE', 'TABLE tick'),
  ('SELECT', 'TABLE refinery_schema_history'),
  ('EXECUTE', 'FUNCTION make_partitions(integer)'),
  ('EXECUTE', 'FUNCTION drop_partition(text, text, interval)'),
  ('EXECUTE', 'FUNCTION remove_stray_events(interval, bigint)')
), auditor (rights, object) AS (VALUES
  ('SELECT', 'TABLE audit_jobs'),
  ('SELECT', 'TABLE audit_events'),
  ('SELECT', 'TABLE audit_cases'),
  ('SELECT', 'TABLE audit_members'),
  ('SELECT', 'TABLE audit_runs'),
  ('SELECT', 'TABLE audit_keys'),
  ('SELECT', 'TABLE audit_items'),
  ('SELECT', 'TABLE audit_fields'),
  ('SELECT', 'TABLE audit_derived')
), given AS (
  SELECT format('GRANT %s ON %s TO %I', rights, object, $1::text) AS statement FROM application WHERE $1 IS NOT NULL
  UNION ALL
  SELECT format('GRANT %s ON %s TO %I', rights, object, $2::text) FROM auditor WHERE $2 IS NOT NULL
)
-- Nobody but them is to fill the disk with temporary tables, or to put tables and functions of their own beside these: a database that
-- came from PostgreSQL 14 lets everybody.
SELECT format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database()) AS statement
UNION ALL SELECT 'REVOKE CREATE ON SCHEMA public FROM PUBLIC'
UNION ALL SELECT format('REVOKE ALL ON ALL TABLES IN SCHEMA public FROM %I', role) FROM unnest(ARRAY[$1, $2]) AS r (role) WHERE role IS NOT NULL
UNION ALL SELECT statement FROM given
