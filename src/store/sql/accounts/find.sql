-- Accounts with what may make a token of theirs void, and the cases that each is a member of.
-- $1 ids.
SELECT a.id, a.name, a.email, a.roles, a.token_generation, a.disabled_at, a.created_at,
       ARRAY(SELECT t.id FROM ended_token AS t WHERE t.account_id = a.id) AS ended_tokens,
       (SELECT c.id FROM casefile AS c WHERE c.own_of = a.id) AS own_case, m.cases, m.case_roles
FROM account AS a
CROSS JOIN LATERAL (
  SELECT coalesce(array_agg(case_id ORDER BY case_id), '{}') AS cases, coalesce(array_agg(role ORDER BY case_id), '{}') AS case_roles
  FROM member WHERE account_id = a.id
) AS m
WHERE a.id = ANY($1)
