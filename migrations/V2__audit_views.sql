-- The questions an auditor asks in SQL, stable under changes of the tables beneath.

CREATE VIEW audit_jobs AS
  SELECT j.id, encode(i.md5, 'hex') AS md5, j.model, j.state::text AS state, NULL::text AS reason, j.priority,
         j.attempt, j.deaths, j.lease_no, j.session_id AS worker, s.version, s.key_id, j.created_at, j.run_at,
         j.started_at, NULL::timestamptz AS finished_at, j.finish_by, NULL::real AS duration_s, j.retry_of
  FROM job AS j
  LEFT JOIN image AS i ON i.id = j.image_id
  LEFT JOIN worker_session AS s ON s.id = j.session_id
  UNION ALL
  SELECT a.id, encode(i.md5, 'hex'), a.model, a.state::text, a.reason::text, a.priority,
         a.attempt, a.deaths, a.lease_no, a.session_id, a.version, s.key_id, a.created_at, a.run_at,
         a.started_at, a.finished_at, a.finish_by, a.duration_s, a.retry_of
  FROM job_archive AS a
  LEFT JOIN image AS i ON i.id = a.image_id
  LEFT JOIN worker_session AS s ON s.id = a.session_id;
COMMENT ON VIEW audit_jobs IS 'Every job, live and ended: its image by MD5, model, state, tries, worker, key and times.';

CREATE VIEW audit_events AS
  SELECT e.id, e.at, e.code, e.job_id, e.submission_id, e.account_id, a.name AS account, e.subject_id, e.key_id,
         e.session_id AS worker, e.model, e.lease_no, e.attempt, e.reason
  FROM job_event AS e
  LEFT JOIN account AS a ON a.id = e.account_id;
COMMENT ON VIEW audit_events IS 'Every transition and administrative act in order of id: who did what to which job, account, key or model.';

CREATE VIEW audit_keys AS
  SELECT k.id, k.service, k.models, a.name AS owner, k.trusted, k.detail, k.created_at, k.expires_at, k.disabled_at,
         k.last_used_at,
         (SELECT count(*) FROM worker_session AS s WHERE s.key_id = k.id AND s.ended_at IS NULL) AS live_workers
  FROM api_key AS k
  LEFT JOIN account AS a ON a.id = k.owner;
COMMENT ON VIEW audit_keys IS 'Every API key without its secret: service type, scope, owner, life and live workers.';
