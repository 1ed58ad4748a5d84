//! What a lease that is not held any more once led to.

use sqlx::PgConnection;
use uuid::Uuid;

use super::Holder;
use crate::domain::job::JobState;

/// A lease that a holder named, and what it said of it: `succeeded`, `retry`, `rejected` or `released`.
#[derive(Debug, Clone)]
pub struct Fence {
    pub holder: Holder,
    pub id: Uuid,
    pub lease_no: i32,
    pub said: &'static str,
}

/// Answers, in the order asked, the state that the same lease once led to, which makes a repeat harmless.
pub async fn settled(db: &mut PgConnection, items: &[&Fence]) -> sqlx::Result<Vec<Option<JobState>>> {
    let rows: Vec<(i64, String)> = sqlx::query_as(include_str!("../sql/work/settled.sql"))
        .bind(items.iter().map(|item| item.id).collect::<Vec<_>>())
        .bind(items.iter().map(|item| item.holder.session).collect::<Vec<_>>())
        .bind(items.iter().map(|item| item.holder.key.as_str()).collect::<Vec<_>>())
        .bind(items.iter().map(|item| item.lease_no).collect::<Vec<_>>())
        .bind(items.iter().map(|item| item.said).collect::<Vec<_>>())
        .bind(items.len() as i64)
        .fetch_all(db)
        .await?;
    let mut states = vec![None; items.len()];
    for (place, state) in rows {
        if let Some(slot) = usize::try_from(place - 1).ok().and_then(|place| states.get_mut(place)) {
            *slot = JobState::parse(&state);
        }
    }
    Ok(states)
}
