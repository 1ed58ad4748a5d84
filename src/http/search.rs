//! Searches.

use axum::extract::State;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::auth::AnyUser;
use super::extract::{self, Json, Query};
use super::problem::Answer;
use super::{AppState, Shared};
use crate::api::page::Page;
use crate::api::search::{
    CountsOut, CountsQuery, Hit, ImagesCounted, LabelCounted, ModelCounted, SearchQuery, TagCounted,
};
use crate::domain::fault::Fault;
use crate::domain::filter::SearchFilter;
use crate::service::search::{self, SearchAsk, SearchCounts};
use crate::store::search::ShownHit;

/// The list, as its cursors name it.
const LIST: &str = "search";

pub fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(search_images)).routes(routes!(count_images))
}

/// Searches images
///
/// Those that fit a filter, newest title first; for `similar:` and `like:` the nearest first. An image is one item, though several of
/// one's cases hold it. A page may be short, or empty, and not the last: as many titles are looked at as one request may, so follow
/// `next_cursor` until it is null. Of one's cases; of all for administrators. docs/search.md has the grammar of filters.
#[utoipa::path(get, path = "/search", tag = "search", security(("user" = []), ("token" = [])), params(SearchQuery),
    responses((status = 200, body = Page<Hit>)))]
async fn search_images(
    State(state): AppState,
    AnyUser(user): AnyUser,
    Query(query): Query<SearchQuery>,
) -> Answer<Json<Page<Hit>>> {
    let limit = extract::limit(query.limit)?;
    let after = extract::read_cursor(LIST, query.cursor.as_deref())?;
    let ask = ask(query.q, query.case)?;
    let limit = usize::try_from(limit).unwrap_or_default();
    let page = search::find(&state.ctx, &user, &ask, after, limit).await.map_err(|error| error.within("query"))?;
    Ok(Json(Page {
        items: page.hits.into_iter().map(shown).collect(),
        next_cursor: page.next.map(|place| extract::write_cursor(LIST, &place)),
    }))
}

/// Counts images by label, model and tag
///
/// Of the images that fit a filter: how many there are, and what the newest results and the cases say of them. At most 5,000 images are
/// counted; then, and where as many titles were looked at as one request may, `at_least` is true.
#[utoipa::path(get, path = "/search/counts", tag = "search", security(("user" = []), ("token" = [])), params(CountsQuery),
    responses((status = 200, body = CountsOut)))]
async fn count_images(
    State(state): AppState,
    AnyUser(user): AnyUser,
    Query(query): Query<CountsQuery>,
) -> Answer<Json<CountsOut>> {
    let ask = ask(query.q, query.case)?;
    let counts = search::count(&state.ctx, &user, &ask).await.map_err(|error| error.within("query"))?;
    Ok(Json(counts.into()))
}

pub(super) fn ask(q: Option<String>, case: Option<Uuid>) -> Result<SearchAsk, Fault> {
    let filter = SearchFilter::parse(q.as_deref().unwrap_or_default());
    Ok(SearchAsk { filter: filter.map_err(|flaw| flaw.fault("/q").within("query"))?, case })
}

pub(super) fn shown((hit, distance): (ShownHit, Option<f64>)) -> Hit {
    Hit {
        md5: hit.md5.to_string(),
        name: hit.name,
        case: hit.case_id,
        uploaded_at: hit.uploaded_at,
        by: hit.by,
        media_type: hit.media_type,
        bytes: hit.bytes,
        width: hit.width,
        height: hit.height,
        orientation: hit.orientation,
        tags: hit.tags,
        taken_at: hit.taken_at,
        camera: hit.camera,
        placeholder: hit.placeholder.map(|hash| STANDARD.encode(hash)),
        distance,
    }
}

impl From<SearchCounts> for CountsOut {
    fn from(counts: SearchCounts) -> Self {
        let label = |(label, images)| LabelCounted { label, images };
        let model = |(model, images)| ModelCounted { model, images };
        let tag = |(tag, images)| TagCounted { tag, images };
        Self {
            images: ImagesCounted { count: counts.images, at_least: counts.at_least },
            labels: counts.labels.into_iter().map(label).collect(),
            models: counts.models.into_iter().map(model).collect(),
            tags: counts.tags.into_iter().map(tag).collect(),
        }
    }
}
