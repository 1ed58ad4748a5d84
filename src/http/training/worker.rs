//! What the workers of training runs send and fetch.

use std::collections::BTreeMap;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use futures_util::StreamExt;
use serde_json::{Map, Value};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::api::training::{
    CheckpointUpload, FileKept, LeaseQuery, Measured, MetricsRequest, ModelUpload, POINTS_AT_ONCE_MAX, PointIn,
};
use crate::blob::{Staged, Staging};
use crate::domain::fault::{Code, Fault};
use crate::domain::training::{EPOCH_MAX, check_file_name, check_values};
use crate::http::auth::TrainService;
use crate::http::budget;
use crate::http::content::Content;
use crate::http::extract::{self, Free, Json, Path, Query};
use crate::http::problem::Answer;
use crate::http::{AppState, Shared};
use crate::service::training::{self as service, FileSent};
use crate::service::workers::lease_no;
use crate::service::{Ctx, Error};
use crate::store::keys::ApiKey;
use crate::store::training::{FileKind, Point, RunLease};
use crate::store::work::Holder;

pub fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(report_metrics))
        .routes(routes!(get_checkpoint, put_checkpoint))
        .routes(routes!(put_run_model))
}

fn lease(key: ApiKey, run: Uuid, worker: Uuid, sent: i64) -> RunLease {
    RunLease { run, lease_no: lease_no(sent), holder: Holder { session: worker, key: key.id } }
}

/// Reports metrics
///
/// For the worker that holds the run. The same epoch of the same attempt again replaces what was said of it; at most 10,000 epochs are
/// kept of a run.
#[utoipa::path(post, path = "/training/results/{id}/metrics", tag = "training", security(("key" = []), ("token" = [])),
    params(("id" = Uuid, Path)), request_body = MetricsRequest, responses((status = 200, body = Measured)))]
async fn report_metrics(
    State(state): AppState,
    TrainService(key): TrainService,
    Path(id): Path<Uuid>,
    Free(body): Free<MetricsRequest>,
) -> Answer<Json<Measured>> {
    let lease = lease(key, id, body.worker, body.lease_no);
    let points = read_points(body.points)?;
    let points = service::measure(&state.ctx, &lease, &points).await.map_err(|error| error.within("body"))?;
    Ok(Json(Measured { points }))
}

/// Of several about one epoch the last counts.
fn read_points(points: Vec<PointIn>) -> Result<Vec<Point>, Fault> {
    if points.len() > POINTS_AT_ONCE_MAX {
        let detail = format!("points has more than {POINTS_AT_ONCE_MAX} items.");
        return Err(Fault::invalid("body", "/points", detail));
    }
    let mut read: BTreeMap<i32, Point> = BTreeMap::new();
    for (place, PointIn { epoch, values }) in points.into_iter().enumerate() {
        let at = format!("/points/{place}");
        let epoch = extract::within("body", &format!("points/{place}/epoch"), epoch, 0..=EPOCH_MAX)?;
        check_values(values.keys()).map_err(|fault| fault.under(&format!("{at}/values")).within("body"))?;
        // What was read as a number of JSON can be written as one.
        let values: Map<String, Value> = values.into_iter().map(|(name, value)| (name, value.into())).collect();
        read.insert(epoch, Point { epoch, metrics: Value::Object(values).to_string() });
    }
    Ok(read.into_values().collect())
}

/// Fetches a checkpoint
///
/// The newest one of any attempt, for the worker that holds the run. Knows ETag and Range.
#[utoipa::path(get, path = "/training/results/{id}/checkpoint", tag = "training", security(("key" = []), ("token" = [])),
    params(("id" = Uuid, Path), LeaseQuery),
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>, description = "Its bytes.", example = json!("(bytes)")),
              (status = 206, description = "The range."), (status = 304, description = "Not changed.")))]
async fn get_checkpoint(
    State(state): AppState,
    TrainService(key): TrainService,
    Path(id): Path<Uuid>,
    Query(query): Query<LeaseQuery>,
    headers: HeaderMap,
) -> Answer<Response> {
    let lease = lease(key, id, query.worker, query.lease_no);
    let file = service::checkpoint(&state.ctx, &lease).await?;
    let content = Content {
        what: "checkpoint",
        media_type: "application/octet-stream",
        sha256: &file.sha256,
        blob: file.blob,
        bytes: file.bytes,
        begin: None,
    };
    match content.portion(&headers) {
        Ok(portion) => content.send(&state.ctx.blobs, portion).await,
        Err(refusal) => Ok(refusal),
    }
}

/// Saves a checkpoint
///
/// The body is the file. It replaces the one before; a further attempt of the run, or a retry, goes on from it. A body that is cut off
/// or has another checksum than `sha256` leaves nothing. Of two that come at once that one counts whose upload began later.
#[utoipa::path(put, path = "/training/results/{id}/checkpoint", tag = "training", security(("key" = []), ("token" = [])),
    params(("id" = Uuid, Path), CheckpointUpload), request_body(content_type = "application/octet-stream", content = Vec<u8>, example = json!("(bytes)")),
    responses((status = 200, body = FileKept)))]
async fn put_checkpoint(
    State(state): AppState,
    TrainService(key): TrainService,
    Path(id): Path<Uuid>,
    Query(query): Query<CheckpointUpload>,
    request: Request,
) -> Answer<Json<FileKept>> {
    let epoch = query.epoch.map(|epoch| extract::within("query", "epoch", epoch, 0..=EPOCH_MAX)).transpose()?;
    let sha256 = read_sha256(query.sha256.as_deref())?;
    let lease = lease(key, id, query.worker, query.lease_no);
    let sent = FileSent { kind: FileKind::Checkpoint, name: None, epoch, sha256 };
    Ok(Json(take_file(&state.ctx, &lease, &sent, request).await?))
}

/// Uploads a model
///
/// The body is the file, which counts once this very lease has completed the run. Its name is what a download is called: a plain name,
/// not a path. A body that is cut off or has another checksum than `sha256` leaves nothing.
#[utoipa::path(put, path = "/training/results/{id}/model", tag = "training", security(("key" = []), ("token" = [])),
    params(("id" = Uuid, Path), ModelUpload), request_body(content_type = "application/octet-stream", content = Vec<u8>, example = json!("(bytes)")),
    responses((status = 200, body = FileKept)))]
async fn put_run_model(
    State(state): AppState,
    TrainService(key): TrainService,
    Path(id): Path<Uuid>,
    Query(query): Query<ModelUpload>,
    request: Request,
) -> Answer<Json<FileKept>> {
    check_file_name(&query.name).map_err(|fault| fault.at("query", "/name"))?;
    let sha256 = read_sha256(query.sha256.as_deref())?;
    let lease = lease(key, id, query.worker, query.lease_no);
    let sent = FileSent { kind: FileKind::Model, name: Some(query.name), epoch: None, sha256 };
    Ok(Json(take_file(&state.ctx, &lease, &sent, request).await?))
}

fn read_sha256(text: Option<&str>) -> Result<Option<[u8; 32]>, Fault> {
    let Some(text) = text else { return Ok(None) };
    let mut bytes = [0; 32];
    match hex::decode_to_slice(text, &mut bytes) {
        Ok(()) => Ok(Some(bytes)),
        Err(_) => Err(Fault::invalid("query", "/sha256", "sha256 is not 64 hexadecimal digits.")),
    }
}

/// Takes a file in, if its worker holds the run: asked before the first byte, and again when it is kept.
async fn take_file(ctx: &Ctx, lease: &RunLease, sent: &FileSent, request: Request) -> Result<FileKept, Error> {
    let most = ctx.limits.artifact_bytes_max;
    let declared = request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if let Some(bytes) = declared.filter(|bytes| *bytes > most) {
        return Err(too_large(bytes, most).into());
    }
    budget::hold_upload().await?;
    let begun_at = service::fence(ctx, lease).await?;
    let staged = stage(ctx, request, most).await?;
    let kept = service::keep_file(ctx, lease, sent, begun_at, &staged).await.map_err(|error| error.within("query"))?;
    Ok(FileKept { bytes: staged.bytes, sha256: hex::encode(staged.sha256), kept })
}

/// Spools a body of at most so many bytes.
async fn stage(ctx: &Ctx, request: Request, most: u64) -> Result<Staged, Error> {
    let mut body = request.into_body().into_data_stream();
    let (mut staging, mut bytes) = (Staging::begin(&ctx.blobs).await?, 0);
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|_| Fault::new(Code::BodyCutOff, "The body could not be read to its end."))?;
        bytes += chunk.len() as u64;
        if bytes > most {
            return Err(too_large(bytes, most).into());
        }
        staging.write(chunk).await?;
    }
    Ok(staging.finish().await?)
}

fn too_large(bytes: u64, most: u64) -> Fault {
    Fault::new(Code::TooLarge, format!("The file has {bytes} bytes or more; the limit is {most}."))
        .mend("Make it smaller, or ask the operator for a higher DARKROOM_ARTIFACT_BYTES_MAX.")
}
