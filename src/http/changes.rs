//! What changed between two versions of a model.

use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::AnyUser;
use super::budget;
use super::extract::{self, Json, Path, Query};
use super::problem::Answer;
use super::search::{ask, shown};
use super::{AppState, Shared};
use crate::api::changes::{
    Change, ChangeCountsOut, ChangeCountsQuery, ChangedItems, ChangesQuery, ImageChangesQuery, LabelChanged, MovedItem,
};
use crate::api::page::Page;
use crate::api::search::ImagesCounted;
use crate::domain::fault::Fault;
use crate::domain::json::check_text;
use crate::service::search::SearchAsk;
use crate::service::search::changes::{self, ChangeCounts, ChangedImage, ChangesAsk, ItemsChanged};

/// The list, as its cursors name it.
const LIST: &str = "changes";

pub fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list_changes)).routes(routes!(count_changes)).routes(routes!(get_image_changes))
}

/// Lists what changed between two versions of a model
///
/// Of the images that fit a filter and of which both versions said something with the same params, newest title first. Boxes of one
/// label are matched by how much they overlap: by nine tenths, they are the same; by three tenths, one that moved. Labels, texts, hashes
/// and points are matched by what they say; embeddings and files are not compared. A page may be short, or empty, and not the last:
/// follow `next_cursor` until it is null.
#[utoipa::path(get, path = "/search/changes", tag = "search", security(("user" = []), ("token" = [])), params(ChangesQuery),
    responses((status = 200, body = Page<Change>)))]
async fn list_changes(
    State(state): AppState,
    AnyUser(user): AnyUser,
    Query(query): Query<ChangesQuery>,
) -> Answer<Json<Page<Change>>> {
    let limit = usize::try_from(extract::limit(query.limit)?).unwrap_or_default();
    let after = extract::read_cursor(LIST, query.cursor.as_deref())?;
    let asked = asked(query.model, [query.from, query.to], query.label, ask(query.q, query.case)?)?;
    budget::hold_bytes(budget::ANSWER_BYTES_MAX).await?;
    let page = changes::find(&state.ctx, &user, &asked, query.kind, after, limit).await;
    let page = page.map_err(|error| error.within("query"))?;
    Ok(Json(Page {
        items: page.images.into_iter().map(Change::from).collect(),
        next_cursor: page.next.map(|place| extract::write_cursor(LIST, &place)),
    }))
}

/// Counts what changed between two versions of a model
///
/// Of the images that fit a filter: how many were compared, of how many something changed, and what of which label. At most 2,000
/// images are compared; then, and where as much was looked at as one request may, `at_least` is true.
#[utoipa::path(get, path = "/search/changes/counts", tag = "search", security(("user" = []), ("token" = [])), params(ChangeCountsQuery),
    responses((status = 200, body = ChangeCountsOut)))]
async fn count_changes(
    State(state): AppState,
    AnyUser(user): AnyUser,
    Query(query): Query<ChangeCountsQuery>,
) -> Answer<Json<ChangeCountsOut>> {
    let asked = asked(query.model, [query.from, query.to], None, ask(query.q, query.case)?)?;
    let counts = changes::count(&state.ctx, &user, &asked).await.map_err(|error| error.within("query"))?;
    Ok(Json(counts.into()))
}

/// Shows what changed from one result of an image to another
///
/// Two results of one model, by two versions of it or with other params, each named by the `job` that the image's record tells with it.
/// They are compared as those of `GET /search/changes` are. For members of a case that holds the image, and administrators.
#[utoipa::path(get, path = "/images/{md5}/changes", tag = "images", security(("user" = []), ("token" = [])),
    params(("md5" = String, Path, example = "9e107d9d372bb6826bd81d3542a419d6"), ImageChangesQuery),
    responses((status = 200, body = ChangedItems)))]
async fn get_image_changes(
    State(state): AppState,
    AnyUser(user): AnyUser,
    Query(query): Query<ImageChangesQuery>,
    Path(md5): Path<String>,
) -> Answer<Json<ChangedItems>> {
    let md5 = extract::md5(&md5, "path", "/md5")?;
    let changed = changes::of_image(&state.ctx, &user, md5, [query.from, query.to]).await;
    Ok(Json(changed.map_err(|error| error.within("query"))?.into()))
}

fn asked(model: String, versions: [String; 2], label: Option<String>, search: SearchAsk) -> Result<ChangesAsk, Fault> {
    for text in versions.iter().chain([&model]) {
        check_text(text)?;
    }
    let [from, to] = versions;
    Ok(ChangesAsk { search, model, from, to, label })
}

impl From<ChangedImage> for Change {
    fn from(changed: ChangedImage) -> Self {
        let ChangedImage { hit, distance, change } = changed;
        Self { hit: shown((hit, distance)), changed: change.into() }
    }
}

impl From<ItemsChanged> for ChangedItems {
    fn from(ItemsChanged { gained, lost, moved, same, incomplete }: ItemsChanged) -> Self {
        let moved = moved.into_iter().map(|(from, to, overlap)| MovedItem { from, to, overlap });
        Self { gained, lost, moved: moved.collect(), same, incomplete }
    }
}

impl From<ChangeCounts> for ChangeCountsOut {
    fn from(counts: ChangeCounts) -> Self {
        let labels = counts.labels.into_iter().map(|((kind, label), changes)| LabelChanged {
            kind: kind.to_owned(),
            label,
            gained: changes.gained,
            lost: changes.lost,
            moved: changes.moved,
            same: changes.same,
        });
        Self {
            images: ImagesCounted { count: counts.compared, at_least: counts.at_least },
            gained: counts.gained,
            lost: counts.lost,
            moved: counts.moved,
            same: counts.same,
            incomplete: counts.incomplete,
            labels: labels.collect(),
        }
    }
}
