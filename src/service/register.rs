//! Registration of microservices.

use serde_json::Value;
use uuid::Uuid;

use super::{Ctx, Result};
use crate::domain::fault::{Code, Fault};
use crate::domain::key::Service;
use crate::domain::name::{Glob, Name};
use crate::store::keys::ApiKey;
use crate::store::models::{self, Described};
use crate::store::workers::{self, NewSession};

/// What a microservice says of itself.
#[derive(Debug)]
pub struct Registration {
    pub model: Name,
    pub version: String,
    pub instance: Uuid,
    pub description: Option<String>,
    pub tags: Option<Vec<String>>,
    pub labels: Option<Vec<String>>,
    pub params_schema: Option<Value>,
    pub batch_max: i32,
    pub host: Option<String>,
    pub sdk: Option<String>,
}

/// Opens a session, or prolongs the live one of the same instance; answers its id and whether it is new.
///
/// A key reaches only models that its scope matches; one that a researcher made, only unknown models and
/// those of its owner.
pub async fn register(ctx: &Ctx, key: &ApiKey, new: &Registration) -> Result<(Uuid, bool)> {
    super::auth::need_service(key, Service::Predict)?;
    let name = new.model.as_str();
    let in_scope = key.models.iter().any(|glob| Glob::parse(glob).is_ok_and(|g| g.matches(name)));
    if !in_scope {
        let detail = format!("The key reaches {}, not {name:?}.", key.models.join(", "));
        return Err(Fault::new(Code::OutOfScope, detail).into());
    }
    ctx.db
        .within(async {
            let mut tx = ctx.db.begin().await?;
            // Locked in turn, so that a fleet that starts together does not deadlock.
            models::owner(&mut tx, name).await?;
            let described = Described {
                name,
                version: &new.version,
                description: new.description.as_deref(),
                tags: new.tags.as_deref(),
                labels: new.labels.as_deref(),
                params_schema: new.params_schema.as_ref(),
            };
            let owner = models::register(&mut tx, &described, key.owner, &key.id).await?;
            if !key.trusted && owner != key.owner {
                return Err(Fault::new(Code::OutOfScope, format!("{name:?} belongs to another researcher.")).into());
            }
            let session = NewSession {
                key_id: &key.id,
                model: name,
                version: &new.version,
                instance: new.instance,
                batch_max: new.batch_max,
                host: new.host.as_deref(),
                sdk: new.sdk.as_deref(),
            };
            let opened = workers::register(&mut tx, &session, ctx.limits.lease_s).await?;
            tx.commit().await?;
            ctx.board.forget(&());
            Ok(opened)
        })
        .await
}
