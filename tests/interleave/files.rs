//! The use cases of a case, which is Jo's: who is its member, what is tagged in it, and how it goes.

use darkroom::domain::case::CaseRole;
use darkroom::service::cases::removal::bite_in;
use darkroom::store::cases::{self, members, records, removal, tags};
use darkroom::store::ticks;
use sqlx::{Connection, PgConnection};

use super::Pair;
use super::cases::{Done, Report, UseCase};
use super::world::Facts;

/// Those that are about the case.
const OF_CASE: [UseCase; 6] = [
    UseCase::DeleteCase,
    UseCase::BiteRequests,
    UseCase::BiteImages,
    UseCase::AddMember,
    UseCase::LoseMember,
    UseCase::Tag,
];
/// The pairs of them, and with others, that want the same rows most: all pairs would take longer than the rest of the suite.
const MEETING: [Pair; 7] = [
    [UseCase::BiteImages, UseCase::Submit],
    [UseCase::BiteImages, UseCase::Succeed],
    [UseCase::BiteRequests, UseCase::Submit],
    [UseCase::BiteRequests, UseCase::WithdrawOther],
    [UseCase::DeleteCase, UseCase::Rerun],
    [UseCase::DeleteCase, UseCase::Tag],
    [UseCase::AddMember, UseCase::LoseMember],
];

/// Whether it is worth while to try two use cases together.
pub fn meet(pair: Pair) -> bool {
    let [first, second] = pair;
    !pair.iter().any(|one| OF_CASE.contains(one)) || MEETING.contains(&pair) || MEETING.contains(&[second, first])
}

/// What the case of a use case is like before: it has Ines for a member, or is deleted, and its requests have gone.
pub fn prepare(pair: Pair) -> String {
    let has = |one: UseCase| pair.contains(&one);
    let mut sql = String::new();
    if has(UseCase::LoseMember) {
        sql += "INSERT INTO member (case_id, account_id, role)
                SELECT c.id, a.id, 'editor' FROM casefile AS c, account AS a WHERE c.name = 'Harbour' AND a.name = 'ines';";
    }
    if has(UseCase::BiteImages) {
        // It alone holds the image of the queued job.
        sql += "DELETE FROM upload WHERE case_id <> (SELECT id FROM casefile WHERE name = 'Harbour')
                  AND image_id = (SELECT image_id FROM job WHERE state = 'queued' AND NOT suspect);";
    }
    if has(UseCase::BiteImages) && !has(UseCase::BiteRequests) {
        sql += "DELETE FROM request USING submission AS s, casefile AS c
                  WHERE submission_id = s.id AND s.case_id = c.id AND c.name = 'Harbour';
                DELETE FROM submission USING casefile AS c WHERE case_id = c.id AND c.name = 'Harbour';";
    }
    if has(UseCase::BiteRequests) || has(UseCase::BiteImages) {
        sql += r#"DELETE FROM member USING casefile AS c WHERE case_id = c.id AND c.name = 'Harbour';
                  UPDATE casefile SET name = '', deleted_at = clock_timestamp(), deleted_by = created_by,
                         removed = '{"titles": 0, "images": 0, "bytes": 0, "tags": 0, "notes": 0, "done": false}'
                  WHERE name = 'Harbour';"#;
    }
    sql
}

pub async fn run(case: UseCase, db: &mut PgConnection, f: &Facts) -> Done {
    let mut report = Report::default();
    let mut tx = db.begin().await?;
    match case {
        UseCase::DeleteCase if owns(&mut tx, f).await? => drop(removal::mark(&mut tx, f.cases[1], f.jo).await?),
        UseCase::AddMember | UseCase::LoseMember if owns(&mut tx, f).await? => {
            let ines = members::lock_account(&mut tx, "ines").await?.expect("an account");
            let facts = members::facts(&mut tx, f.cases[1], ines, f.jo).await?;
            match case {
                UseCase::AddMember => members::set(&mut tx, f.cases[1], ines, CaseRole::Editor, f.jo).await?,
                _ if facts.role.is_some() => members::remove(&mut tx, f.cases[1], ines, f.jo).await?,
                _ => {}
            }
        }
        UseCase::Tag if cases::take_turn(&mut tx, f.cases[1]).await? => {
            let md5s = [f.images[1].1, f.images[2].1];
            let held = tags::lock_held(&mut tx, f.cases[1], &md5s).await?;
            let held: Vec<i64> = held.iter().map(|image| image.id).collect();
            let (add, remove) = (["pier".to_owned()], ["sea".to_owned()]);
            tags::change(&mut tx, f.cases[1], &held, &add, &remove, f.jo).await?;
        }
        UseCase::BiteRequests | UseCase::BiteImages if ticks::try_tick(&mut tx, "cases").await? => {
            report.moved(&bite_in(&mut tx, f.cases[1]).await?.moved);
        }
        _ => {}
    }
    tx.commit().await?;
    Ok(report)
}

/// Whether Jo still may change her case, which is locked.
async fn owns(tx: &mut PgConnection, f: &Facts) -> sqlx::Result<bool> {
    let is_there = records::lock(tx, f.cases[1]).await?.is_some();
    Ok(is_there && members::role(tx, f.cases[1], f.jo).await? == Some(CaseRole::Owner))
}
