-- Whether an account may see a case now: as a member, or as an administrator, who sees every case that is there.
-- $1 the account; $2 the case.
SELECT EXISTS (
  SELECT FROM account AS a
  WHERE a.id = $1 AND a.disabled_at IS NULL
    AND ('admin' = ANY(a.roles) OR EXISTS (SELECT FROM member AS m WHERE m.case_id = $2 AND m.account_id = a.id))
) AND EXISTS (SELECT FROM casefile AS c WHERE c.id = $2 AND c.deleted_at IS NULL)
