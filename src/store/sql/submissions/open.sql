-- Opens submissions, or locks those that are open; answers in the order asked. No id comes twice.
-- $1 ids, null for a new one, with $2 the account of each.
WITH named AS MATERIALIZED (
  SELECT coalesce(t.id, uuid_v7()) AS id, t.account_id, t.place
  FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS t (id, account_id, place)
), put AS (
  INSERT INTO submission (id, account_id) SELECT id, account_id FROM named ORDER BY id
  -- Written over with itself: what is there is locked, and told.
  ON CONFLICT ON CONSTRAINT submission_pkey DO UPDATE SET id = excluded.id RETURNING id, account_id
)
SELECT put.id, put.account_id FROM named JOIN put USING (id) ORDER BY named.place
