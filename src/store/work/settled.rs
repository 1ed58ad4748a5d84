//! Leases that were settled before: what makes a repeat harmless.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::store::workers::Holder;

/// A lease that a holder named, and what it said of it: `succeeded`, `retry`, `rejected` or `released`.
#[derive(Debug, Clone)]
pub struct Fence {
    pub holder: Holder,
    pub id: Uuid,
    pub lease_no: i64,
    pub said: &'static str,
}

/// Looks refused items up with a fresh snapshot: in the archive, or, for what says `retry` or `released`, among the
/// attempts that ended so. Answers, in the order asked, the state that the same lease once led to, which makes a repeat
/// harmless. A result for a lease that was given back is none.
pub async fn settled(db: &mut PgConnection, items: &[Fence]) -> sqlx::Result<Vec<Option<String>>> {
    let rows: Vec<(i64, String)> = sqlx::query_as(
        "SELECT t.place, coalesce(a.state::text, 'queued') AS state
         FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::bigint[], $5::text[])
           WITH ORDINALITY AS t (session_id, key_id, id, lease_no, said, place)
         JOIN worker_session AS s ON s.id = t.session_id
         LEFT JOIN job_archive AS a ON a.id = t.id AND a.lease_no = t.lease_no AND a.session_id = t.session_id
         LEFT JOIN attempt AS b ON b.job_id = t.id AND b.lease_no = t.lease_no AND b.session_id = t.session_id
                               AND b.outcome = t.said AND t.said IN ('retry', 'released')
         WHERE s.key_id = t.key_id AND (a.id IS NOT NULL OR b.job_id IS NOT NULL)",
    )
    .bind(items.iter().map(|item| item.holder.session).collect::<Vec<_>>())
    .bind(items.iter().map(|item| item.holder.key.as_str()).collect::<Vec<_>>())
    .bind(items.iter().map(|item| item.id).collect::<Vec<_>>())
    .bind(items.iter().map(|item| item.lease_no).collect::<Vec<_>>())
    .bind(items.iter().map(|item| item.said).collect::<Vec<_>>())
    .fetch_all(db)
    .await?;
    let mut states = vec![None; items.len()];
    for (place, state) in rows {
        if let Some(slot) = usize::try_from(place - 1).ok().and_then(|place| states.get_mut(place)) {
            *slot = Some(state);
        }
    }
    Ok(states)
}
