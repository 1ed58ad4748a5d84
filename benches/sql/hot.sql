-- The share of updates of live jobs that touched no index (heap-only tuples), since the database was made.
SELECT n_tup_hot_upd::float8 / greatest(n_tup_upd, 1) FROM pg_stat_user_tables WHERE relname = 'job'
