//! Training runs: what they are beside their jobs, what they measure, and their files.

mod datasets;
mod files;
mod lease;
mod promoted;
mod runs;

pub use datasets::{Dataset, dataset, datasets};
pub use files::{
    FileKind, Replaced, RunFile, checkpoints, copy_checkpoint, forget_unselected, model_files, named_blobs, unnamed,
};
pub use lease::{FileFate, NewFile, Point, RunLease, lock_lease, put_file, put_metrics};
pub use promoted::{Promoted, PromotionTarget, lock_target, promote, promoted, promotion_of};
pub use runs::{
    GivenRun, NewRun, RunFilter, RunMade, RunMetric, RunNews, RunRecord, begin, find, given, list, made_before,
    metrics, news,
};
