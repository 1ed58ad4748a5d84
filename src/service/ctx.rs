//! The one context parameter of every use case.

use std::sync::Arc;

use uuid::Uuid;

use super::acts::FrequentActs;
use super::catalog::Catalog;
use super::clock::DbClock;
use super::items::Items;
use super::limits::Limits;
use super::mirror::Mirror;
use super::readiness::Readiness;
use super::tallies::Tallies;
use super::versions::Versions;
use super::waiters::Waiters;
use crate::blob::Blobs;
use crate::derive::Decoding;
use crate::index::Index;
use crate::store::Db;

/// What every use case may need: capabilities, not configuration.
pub struct Ctx {
    /// For people.
    pub db: Db,
    /// For what goes together.
    pub hot: Db,
    /// For what of the work goes alone.
    pub work: Db,
    /// For searches.
    pub search: Db,
    /// For what keeps leases right.
    pub upkeep: Db,
    /// For the rest of the maintenance, which may be slow.
    pub chores: Db,
    pub readiness: Readiness,
    pub index: Arc<Index>,
    pub mirror: Mirror,
    pub blobs: Blobs,
    pub waiters: Arc<Waiters>,
    pub versions: Versions,
    pub items: Items,
    /// This process among the replicas.
    pub replica: Uuid,
    pub limits: Limits,
    /// How decoders are run.
    pub decoding: Decoding,
    pub catalog: Catalog,
    pub tallies: Tallies,
    pub clock: DbClock,
    pub acts: FrequentActs,
    /// Set when the process is about to stop: waiting requests answer at once.
    pub stopping: tokio::sync::watch::Receiver<bool>,
}
