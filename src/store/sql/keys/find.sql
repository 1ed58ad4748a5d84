-- Keys, and whether their owners may hold them.
-- $1 ids.
SELECT k.id, k.secret_sha256, k.service, k.models, k.owner, a.name AS owner_name, k.trusted, k.detail, k.created_at,
       k.expires_at, k.disabled_at, k.last_used_at,
       -- Who is disabled holds no key; a key that an administrator made asks for no role.
       coalesce(a.disabled_at IS NOT NULL OR NOT (k.trusted OR a.roles && ARRAY['admin', 'researcher']), false) AS owner_barred
FROM api_key AS k LEFT JOIN account AS a ON a.id = k.owner
WHERE k.id = ANY($1)
