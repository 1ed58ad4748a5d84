//! Everything through the front door: the real HTTP router on the real PostgreSQL and the real Redis, each
//! test in a database of its own.

mod support;

mod architecture; // which floor imports which
mod submit; // photographs come in
mod work; // microservices claim and complete
