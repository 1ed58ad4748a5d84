//! What concerns the whole request: names, params and terms.

use std::collections::BTreeMap;

use super::{Ask, Load};
use crate::domain::fault::{Code, Fault};
use crate::domain::name::{Name, nearest, shorten};
use crate::domain::params::Params;
use crate::service::{Ctx, Error, Result};
use crate::store::jobs::Terms;
use crate::store::models::{self, Model};

/// How long a queued job may wait when the request does not say, in seconds.
const FINISH_WITHIN_DEFAULT_S: f64 = 30.0 * 24.0 * 3600.0;
/// How many names are looked through for a suggestion.
const SUGGEST_FROM: i64 = 1000;

/// Names, params and terms, verified.
pub(super) struct Plan {
    pub(super) models: Vec<(String, Params)>,
    pub(super) loads: BTreeMap<String, Load>,
    pub(super) terms: Terms,
}

/// Verifies everything that concerns the whole request; a fault here leaves nothing behind.
pub(super) async fn plan(ctx: &Ctx, ask: &Ask, images: usize) -> Result<Plan> {
    if ask.models.is_empty() {
        return Err(Fault::new(Code::NoModel, "No model was named.").at(ask.place.as_str(), "/models").into());
    }
    if images > ctx.limits.images_max || images * ask.models.len() > ctx.limits.jobs_max {
        let (most, jobs) = (ctx.limits.images_max, ctx.limits.jobs_max);
        let detail =
            format!("{images} images × {} models; the limits are {most} images and {jobs} pairs.", ask.models.len());
        return Err(Fault::new(Code::TooManyImages, detail).at(ask.place.as_str(), "/images").into());
    }
    for (index, name) in ask.models.iter().enumerate() {
        Name::parse(name)
            .map_err(|why| Fault::new(Code::UnknownModel, why).at(ask.place.as_str(), format!("/models/{index}")))?;
    }
    let (known, names) = ctx
        .db
        .within(async {
            let mut db = ctx.db.pool().acquire().await?;
            let known: Vec<Model> =
                models::find(&mut db, &ask.models).await?.into_iter().filter(|m| m.retired_at.is_none()).collect();
            let names =
                if known.len() < ask.models.len() { models::names(&mut db, SUGGEST_FROM).await? } else { Vec::new() };
            Ok::<_, Error>((known, names))
        })
        .await?;
    if let Some((index, name)) = ask.models.iter().enumerate().find(|(_, name)| !known.iter().any(|m| m.name == **name))
    {
        return Err(unknown_model(ask, index, name, &names).into());
    }
    if let Some(dead) = known.iter().find(|m| ask.require_live && m.workers == 0) {
        let detail = format!("{:?} has no live worker.", dead.name);
        return Err(Fault::new(Code::NoLiveWorker, detail).at(ask.place.as_str(), "/require_live").into());
    }
    let loads = known.iter().map(|m| (m.name.clone(), Load { workers: m.workers, queued: m.queued })).collect();
    let mut sorted = ask.models.clone();
    sorted.sort();
    let models = sorted
        .into_iter()
        .map(|name| Ok((params_of(ask, &name)?, name)).map(|(p, n)| (n, p)))
        .collect::<Result<_>>()?;
    if let Some(stray) = ask.params.keys().find(|name| !ask.models.contains(name)) {
        let detail = format!("params are given for {:?}, which is not among the models.", shorten(stray));
        return Err(Fault::invalid(ask.place.as_str(), format!("/params/{stray}"), detail).into());
    }
    let terms = Terms {
        priority: ask.priority,
        run_at: ask.run_at,
        finish_within_s: ask.finish_within_s.unwrap_or(FINISH_WITHIN_DEFAULT_S),
    };
    Ok(Plan { models, loads, terms })
}

pub(super) fn unknown_model(ask: &Ask, index: usize, name: &str, known: &[String]) -> Fault {
    let fault = Fault::new(Code::UnknownModel, format!("No model is named {name:?}."));
    let fault = match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => fault.mend(format!("Did you mean {near:?}? GET /models lists them.")),
        None => fault,
    };
    fault.at(ask.place.as_str(), format!("/models/{index}"))
}

pub(super) fn params_of(ask: &Ask, model: &str) -> Result<Params> {
    let Some(body) = ask.params.get(model) else { return Ok(Params::default()) };
    Params::new(body.clone()).map_err(|why| Fault::invalid(ask.place.as_str(), format!("/params/{model}"), why).into())
}
