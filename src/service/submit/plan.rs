//! What concerns the whole request: names, params and terms.

use std::collections::BTreeMap;

use super::ask::{Ask, Workload};
use crate::domain::account::Role;
use crate::domain::fault::{Code, Fault};
use crate::domain::name::{Name, nearest, shorten};
use crate::domain::params::Params;
use crate::service::accounts::User;
use crate::service::queues::Queues;
use crate::service::{Ctx, Result};
use crate::store::queues::Gate;
use crate::store::submit::Terms;

/// How long a queued job may wait when the request does not say, in seconds.
const FINISH_WITHIN_DEFAULT_S: f64 = 30.0 * 24.0 * 3600.0;
/// How many names are looked through for a suggestion.
const SUGGEST_FROM: usize = 1000;

/// Names, params and terms, verified.
pub(super) struct Plan {
    pub(super) models: Vec<PlannedModel>,
    pub(super) loads: BTreeMap<String, Workload>,
    pub(super) terms: Terms,
}

/// A model that is to run, and how.
pub(super) struct PlannedModel {
    pub(super) name: String,
    pub(super) queue_id: i32,
    pub(super) params: Params,
}

/// Verifies everything that concerns the whole request; a fault here leaves nothing behind.
pub(super) async fn plan(ctx: &Ctx, queues: &Queues, user: &User, ask: &Ask, images: usize) -> Result<Plan> {
    if ask.models.is_empty() {
        return Err(Fault::new(Code::NoModel, "No model was named.").on("/models").into());
    }
    if images > ctx.limits.images_max || images * ask.models.len() > ctx.limits.jobs_max {
        let (most, jobs) = (ctx.limits.images_max, ctx.limits.jobs_max);
        let detail =
            format!("{images} images × {} models; the limits are {most} images and {jobs} pairs.", ask.models.len());
        return Err(Fault::new(Code::TooManyImages, detail).on("/images").into());
    }
    for (index, name) in ask.models.iter().enumerate() {
        Name::parse(name).map_err(|why| Fault::new(Code::UnknownModel, why).on(format!("/models/{index}")))?;
    }
    let (known, dead) = models_of(queues, ask).await?;
    if !user.has(Role::Investigator)
        && let Some((name, _)) = known.iter().find(|(_, gate)| gate.owner != Some(user.account.id))
    {
        let detail = format!("{name:?} is not yours: this needs the role investigator.");
        return Err(Fault::new(Code::MissingRole, detail).into());
    }
    if let Some(dead) = dead {
        let detail = format!("{dead:?} has no live worker.");
        return Err(Fault::new(Code::NoLiveWorker, detail).on("/require_live").into());
    }
    let depths = queues.depths(&ask.models).await?;
    let model = |(name, gate): &(String, Gate)| {
        Ok(PlannedModel { name: name.clone(), queue_id: gate.id, params: params_of(ask, name)? })
    };
    let mut models = known.iter().map(model).collect::<Result<Vec<_>>>()?;
    models.sort_by(|a, b| a.name.cmp(&b.name));
    let load = |((name, gate), queued): ((String, Gate), i64)| (name, Workload { workers: gate.workers, queued });
    let loads = known.into_iter().zip(depths).map(load).collect();
    if let Some(stray) = ask.params.keys().find(|name| !ask.models.contains(name)) {
        let detail = format!("params are given for {:?}, which is not among the models.", shorten(stray));
        return Err(Fault::new(Code::InvalidField, detail).on(format!("/params/{stray}")).into());
    }
    let terms = Terms {
        priority: ask.priority,
        run_at: ask.run_at,
        finish_within_s: ask.finish_within_s.unwrap_or(FINISH_WITHIN_DEFAULT_S),
    };
    Ok(Plan { models, loads, terms })
}

/// The named models, and one of them without a worker where that matters. What is known may be a second old, but not where
/// somebody is refused for it or relies on it.
async fn models_of(queues: &Queues, ask: &Ask) -> Result<(Vec<(String, Gate)>, Option<String>)> {
    let mut gates = if ask.require_live { queues.fresh_gates().await? } else { queues.gates().await? };
    if !ask.models.iter().all(|name| gates.contains_key(name)) {
        gates = queues.fresh_gates().await?;
    }
    if let Some((index, name)) = ask.models.iter().enumerate().find(|(_, name)| !gates.contains_key(*name)) {
        let models = gates.keys().filter(|path| Name::parse(path).is_ok());
        let names: Vec<String> = models.take(SUGGEST_FROM).cloned().collect();
        return Err(unknown_model(index, name, &names).into());
    }
    let known: Vec<(String, Gate)> =
        ask.models.iter().filter_map(|name| Some((name.clone(), gates.get(name)?.clone()))).collect();
    let dead = known.iter().find(|(_, gate)| ask.require_live && gate.workers == 0).map(|(name, _)| name.clone());
    Ok((known, dead))
}

pub(super) fn unknown_model(index: usize, name: &str, known: &[String]) -> Fault {
    let fault = Fault::new(Code::UnknownModel, format!("No model is named {name:?}."));
    let fault = match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => fault.mend(format!("Did you mean {near:?}? GET /models lists them.")),
        None => fault,
    };
    fault.on(format!("/models/{index}"))
}

pub(super) fn params_of(ask: &Ask, model: &str) -> Result<Params> {
    let Some(body) = ask.params.get(model) else { return Ok(Params::default()) };
    Params::new(body.clone()).map_err(|why| Fault::new(Code::InvalidField, why).on(format!("/params/{model}")).into())
}
