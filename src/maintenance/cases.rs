//! What is left of deleted cases, in small bites.

use super::pace::tell;
use crate::service::cases::removal::{self, Left};
use crate::service::{Ctx, Result};
use crate::store::cases;

/// How many deleted cases one tick looks at.
const CASES_MAX: i64 = 10;
/// How many bites one tick takes of each; the next goes on.
const BITES_MAX: usize = 100;

/// Removes what is left of deleted cases.
pub async fn remove_deleted(ctx: &Ctx) -> Result<()> {
    for case in ctx.chores.run(async |db| cases::removal::going(db, CASES_MAX).await).await? {
        for _ in 0..BITES_MAX {
            match removal::bite(ctx, &ctx.chores, case).await {
                Ok(Left::More) => {}
                Ok(_) => break,
                // The others' turn all the same.
                Err(error) => {
                    tell("a deleted case", &error);
                    break;
                }
            }
        }
    }
    Ok(())
}
