//! Starts runs.

use serde_json::{Map, Value};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::fault::{Code, Fault};
use crate::domain::job::JobState;
use crate::domain::judged_schema::JudgedSchema;
use crate::domain::name::{Name, nearest, shorten};
use crate::domain::params::Params;
use crate::domain::training::{RUN_PARAMS_BYTES_MAX, check_parameters};
use crate::service::accounts::User;
use crate::service::{Ctx, Error, Result, announce};
use crate::store::models;
use crate::store::training::{self, Dataset, NewRun, RunMade};
use crate::store::work::Moved;

/// How long a run may wait to be taken, in seconds.
const FINISH_WITHIN_S: f64 = 30.0 * 24.0 * 3600.0;
/// How many datasets are looked through for a suggestion.
const SUGGEST_FROM: i64 = 1000;

/// What somebody asks for.
#[derive(Debug)]
pub struct RunAsk {
    pub dataset: String,
    /// The client's own id of the request, which makes it idempotent.
    pub submission: Option<Uuid>,
    pub priority: i16,
    /// Refuse where no service would take it now.
    pub require_live: bool,
    pub params: Map<String, Value>,
}

/// A run that was started, or had been under the same submission.
#[derive(Debug)]
pub struct RunStarted {
    pub id: Uuid,
    pub state: JobState,
    pub params: Value,
    /// Live services of its dataset.
    pub workers: i64,
}

/// Starts a run. A fault leaves nothing behind.
pub async fn start(ctx: &Ctx, user: &User, ask: RunAsk) -> Result<RunStarted> {
    check_parameters(&ask.params)?;
    let dataset = find_dataset(ctx, &ask.dataset).await?;
    let mut params = Value::Object(ask.params);
    if let Some(schema) = dataset.params_schema {
        params = check_schema(schema, params).await?;
    }
    if ask.require_live && dataset.workers == 0 {
        let detail = format!("No live service trains on {:?}.", dataset.name);
        return Err(Fault::new(Code::NoLiveWorker, detail).on("/require_live").into());
    }
    let params =
        Params::within(params, RUN_PARAMS_BYTES_MAX).map_err(|why| Fault::new(Code::InvalidField, why).on(""))?;
    let made = ctx
        .db
        .write(async |tx| {
            let text = params.text();
            let ids = models::params_ids(tx, &[(&params.hash, &text)]).await?;
            let params_id = ids.first().copied().ok_or(sqlx::Error::RowNotFound)?;
            let new = NewRun {
                account: user.account.id,
                queue_id: dataset.id,
                params_id,
                submission: ask.submission,
                priority: ask.priority,
                finish_within_s: FINISH_WITHIN_S,
                retry_of: None,
            };
            Ok::<_, Error>(match training::begin(tx, &new).await? {
                Some(made) => Ok(moved(&new, &made)),
                None => Err(made_before(tx, &new).await?),
            })
        })
        .await?;
    let (id, state) = match made {
        Ok(made) => {
            announce::moved(ctx, std::slice::from_ref(&made)).await;
            (made.id, JobState::Queued)
        }
        Err(before) => {
            let run = ctx.db.run(async |db| training::find(db, before, None).await).await?;
            (before, run.map_or(JobState::Queued, |run| run.state))
        }
    };
    Ok(RunStarted { id, state, params: params.body, workers: dataset.workers })
}

/// Refuses parameters that the schema does not let pass, and answers them. Apart from the runtime's threads: to make the schema ready takes
/// its time.
async fn check_schema(schema: Value, params: Value) -> Result<Value> {
    let judge = move || -> Result<Value> {
        // It was good when it was registered.
        let schema = JudgedSchema::for_params(schema).map_err(|fault| Error::Internal(fault.into()))?;
        schema.check_params(&params)?;
        Ok(params)
    };
    tokio::task::spawn_blocking(judge).await.map_err(|error| Error::Internal(error.into()))?
}

async fn find_dataset(ctx: &Ctx, name: &str) -> Result<Dataset> {
    let known = async |db: &mut PgConnection| match Name::parse(name) {
        Ok(_) => training::dataset(db, name).await,
        Err(_) => Ok(None),
    };
    match ctx.db.run(known).await? {
        Some(Dataset { retired_at: Some(_), .. }) => {
            let fault = Fault::new(Code::UnknownDataset, format!("{name:?} is retired."));
            return Err(fault.mend("Ask its owner or an administrator to bring it back.").on("/dataset").into());
        }
        Some(dataset) => return Ok(dataset),
        None => {}
    }
    let live = ctx.db.run(async |db| training::datasets(db, None, SUGGEST_FROM).await).await?;
    let fault = Fault::new(Code::UnknownDataset, format!("No dataset is named {:?}.", shorten(name)));
    let fault = match nearest(name, live.iter().map(|dataset| dataset.name.as_str())) {
        Some(near) => fault.mend(format!("Did you mean {near:?}? GET /training/datasets lists them.")),
        None => fault,
    };
    Err(fault.on("/dataset").into())
}

/// The run that the account asked for under this submission.
async fn made_before(db: &mut PgConnection, new: &NewRun) -> Result<Uuid> {
    match training::made_before(db, new).await? {
        Some((before, true)) => Ok(before),
        _ => {
            let detail = "Another run was started under this submission, of other parameters or on another dataset.";
            Err(Fault::new(Code::SubmissionUsed, detail).on("/submission").into())
        }
    }
}

/// The ended run that is tried again.
#[derive(Debug)]
pub struct EndedRun {
    pub id: Uuid,
    pub queue_id: i32,
    pub params_id: i64,
    pub priority: i16,
}

/// Starts a run of the same dataset and parameters as an ended one; it goes on from that one's last checkpoint, unless it is to be
/// `fresh`. Answers its id.
pub async fn again(ctx: &Ctx, user: &User, ended: &EndedRun, fresh: bool) -> Result<Uuid> {
    let new = NewRun {
        account: user.account.id,
        queue_id: ended.queue_id,
        params_id: ended.params_id,
        submission: None,
        priority: ended.priority,
        finish_within_s: FINISH_WITHIN_S,
        retry_of: Some(ended.id),
    };
    let made = ctx
        .db
        .write(async |tx| {
            let made = training::begin(tx, &new).await?.ok_or(sqlx::Error::RowNotFound)?;
            if !fresh {
                training::copy_checkpoint(tx, ended.id, made.id).await?;
            }
            Ok::<_, Error>(moved(&new, &made))
        })
        .await?;
    announce::moved(ctx, std::slice::from_ref(&made)).await;
    Ok(made.id)
}

/// A run that was just made, for those who are told.
fn moved(new: &NewRun, made: &RunMade) -> Moved {
    Moved {
        id: made.id,
        image_id: None,
        queue_id: new.queue_id,
        lease_no: 0,
        session: None,
        version: 1,
        state: JobState::Queued,
        reason: None,
        rank: made.rank,
        due: true,
        suspect: false,
    }
}
