-- Keys, newest first.
-- $1 the owner, or null for everybody's; $2 and $3 time and id before which to begin, or null; $4 the most.
SELECT k.id, k.secret_sha256, k.service, k.models, k.owner, a.name AS owner_name, k.trusted, k.detail, k.created_at,
       k.expires_at, k.disabled_at, k.last_used_at,
       -- Who is disabled holds no key; a key that an administrator made asks for no role.
       coalesce(a.disabled_at IS NOT NULL OR NOT (k.trusted OR a.roles && ARRAY['admin', 'researcher']), false) AS owner_barred
FROM api_key AS k LEFT JOIN account AS a ON a.id = k.owner
WHERE ($1::uuid IS NULL OR k.owner = $1) AND ($2::timestamptz IS NULL OR (k.created_at, k.id) < ($2, $3))
ORDER BY k.created_at DESC, k.id DESC LIMIT $4
