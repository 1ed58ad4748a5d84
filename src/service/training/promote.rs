//! Models of runs: downloaded, and made versions of models that workers serve.

use uuid::Uuid;

use crate::domain::fault::{Code, Fault};
use crate::domain::name::Name;
use crate::service::accounts::User;
use crate::service::queues::Queues;
use crate::service::{Ctx, Error, Result, keys};
use crate::store::keys::ApiKey;
use crate::store::training::{self, RunFile};

/// How many digits of a model's checksum name the version that it becomes, where nothing else does.
const VERSION_DIGITS: usize = 12;

/// The model of a user's own run, or of anybody's for an administrator.
pub async fn model_for_user(ctx: &Ctx, user: &User, id: Uuid) -> Result<RunFile> {
    ctx.db.run(async |db| model_of(db, id, user.owner()).await).await
}

/// The model of a run, for a microservice that may serve a version that it became.
pub async fn model_for_key(ctx: &Ctx, key: &ApiKey, id: Uuid) -> Result<RunFile> {
    ctx.work
        .run(async |db| {
            let promoted = training::promoted(db, &[id]).await?;
            let reached = promoted.iter().any(|one| keys::reaches(key, &one.model, one.model_owner));
            let found = if reached { training::model_files(db, &[id]).await?.pop() } else { None };
            found.ok_or_else(|| Error::from(Fault::not_found("run")))
        })
        .await
}

async fn model_of(db: &mut sqlx::PgConnection, id: Uuid, account: Option<Uuid>) -> Result<RunFile> {
    let run = training::find(db, id, account).await?.ok_or_else(|| Fault::not_found("run"))?;
    if !run.state.ended() {
        return Err(Fault::new(Code::RunNotFinished, format!("The run is {}.", run.state.as_str())).into());
    }
    let found = training::model_files(db, &[id]).await?.pop();
    let detail = || format!("The run has {}, and there is no model of it.", run.state.as_str());
    found.ok_or_else(|| Fault::new(Code::NoModelFile, detail()).into())
}

/// Makes the model of a run a version of a model; again, it stays as it is, and so it does where the version is another run's of the
/// very same bytes. An unknown model becomes the user's. Answers the version and the file that it is, with the run that brought it.
pub async fn promote(
    ctx: &Ctx,
    queues: &Queues,
    user: &User,
    id: Uuid,
    model: &Name,
    version: Option<String>,
) -> Result<(String, RunFile)> {
    let promoted = ctx
        .db
        .write(async |tx| {
            let file = model_of(tx, id, user.owner()).await?;
            let version = version.unwrap_or_else(|| format!("run-{}", &hex::encode(&file.sha256)[..VERSION_DIGITS]));
            let target = training::lock_target(tx, model.as_str(), user.account.id, &version).await?;
            if !user.is_admin() && target.owner != Some(user.account.id) {
                let detail = format!("{:?} belongs to somebody else.", model.as_str());
                return Err(Error::from(
                    Fault::new(Code::MissingRole, detail).mend("Ask its owner or an administrator."),
                ));
            }
            if target.retired {
                return Err(Fault::new(Code::RetiredModel, format!("{:?} is retired.", model.as_str())).into());
            }
            let Some(run) = training::promotion_of(tx, target.queue_id, &version).await? else {
                training::promote(tx, &target, &version, id, user.account.id).await?;
                return Ok((version, file));
            };
            let there = training::model_files(tx, run.as_slice()).await?.pop();
            there.filter(|there| there.sha256 == file.sha256).map(|there| (version.clone(), there)).ok_or_else(|| {
                let detail = format!("{version:?} is another version of {:?} already.", model.as_str());
                Fault::new(Code::VersionTaken, detail).on("/version").into()
            })
        })
        .await?;
    queues.forget();
    Ok(promoted)
}
