//! Training runs: started and followed by people, fed by their services.

mod follow;
mod promote;
mod report;
mod start;

pub use follow::{RunShown, list, wait_for};
pub use promote::{model_for_key, model_for_user, promote};
pub use report::{FileSent, checkpoint, fence, keep_file, measure};
pub use start::{EndedRun, RunAsk, RunStarted, again, start};
