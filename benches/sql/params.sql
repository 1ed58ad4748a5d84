-- The params of outcomes.sql: none.
INSERT INTO params (hash, body) VALUES (sha256('{}'), '{}')
