//! Private PostgreSQL and Redis for development, the demo and the tests.
