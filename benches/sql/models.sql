-- $1: names of models that are known from now on, as after their first registration.
INSERT INTO model (name, last_version) SELECT name, 'v1' FROM unnest($1::text[]) AS name
