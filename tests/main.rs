//! Everything through the front door: the real HTTP router on the real PostgreSQL and the real Redis, each
//! test in a database of its own.

/// What of the kit the suite needs.
mod kit {
    pub mod app;
    pub mod client;
    pub mod desk;
    pub mod family;
    pub mod faults;
    pub mod form;
    pub mod images;
    pub mod pictures;
    pub mod process;
    pub mod proxy;
    pub mod scratch;
    pub mod servers;
    pub mod settings;
    pub mod shim;
    pub mod wait;
}

mod abuse; // everything that costs memory, at once
mod access; // who may call what
mod acts; // who did what to whom, as it is searched
mod architecture; // which floor imports which
mod audit; // what an auditor finds in SQL
mod audit_views; // one small history, as the views tell it
mod backfill; // a model over stored photographs
mod bad_input; // each fault gets its problem and leaves nothing behind
mod budgets; // how much at once, and no more
mod cases; // who sees and changes what, and what goes with a case
mod clients; // too slow, or there when the service stops
mod commands; // the commands that talk to a server
mod compose; // what containers may do, and whom they reach
mod conformance; // made-up requests, as everybody, against the document
mod credentials; // log-in, log-out, and when a token or key stops to open doors
mod deaths; // workers die, and what they held lives on
mod derived; // what is known of an image without any model
mod documents; // OpenAPI, Postman and the pages agree with the code
mod drain; // a worker is asked to take no more
mod events; // what streams tell, to whom, and when they end
mod exports; // what is taken away of cases
mod figures; // how queues stood in the last days
mod held_up; // by what others hold or spoiled, nobody is
mod history; // how long what is over is kept
mod inspect; // what the bytes of a file say they are
mod interleave; // two use cases, statement by statement, in every order
mod junk; // a folder of every kind of file
mod lookup; // what happened to an image
mod model; // random interleavings against a pure model
mod old; // what a page costs when history is long
mod outage; // PostgreSQL or Redis do not answer
mod page; // what people see in a browser
mod people; // accounts, keys, models, cancel, retry
mod process; // the binary itself
mod races; // moments that must not come between
mod report; // the page of a submission
mod results; // what models say, and how it is found
mod rights; // who can write Redis or SQL gains nothing by it
mod sdk; // the workers' package: its own suite, and what is handed out of it
mod search; // images by what is known of them
mod statements; // the SQL: understood, and by key where it counts
mod storage; // the disk is full, read-only or slow; fsync before the answer
mod storms; // everybody at once on the same few images
mod submit; // photographs come in
mod supply; // what is fetched
mod tls; // certificates, and whom the client trusts
mod training; // runs on datasets, what they measure and bring
mod two_seconds; // a job that may be claimed is
mod versions; // two versions of a model at once
mod work; // microservices claim and complete
