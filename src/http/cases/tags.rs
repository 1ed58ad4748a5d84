//! Tags of the images of a case.

use std::collections::BTreeSet;

use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::super::auth::AnyUser;
use super::super::extract::{self, Json, NoQuery, Path};
use super::super::problem::Answer;
use super::super::{AppState, Shared};
use crate::api::cases::{ChangeTags, TagCount, TaggedImage, TagsChanged};
use crate::api::page::Page;
use crate::api::problem::Problem;
use crate::api::status::HASHES_MAX;
use crate::domain::case::{IMAGE_TAGS_MAX, LABEL_CHARS_MAX, check_label};
use crate::domain::fault::{Code, Fault};
use crate::domain::image::ContentMd5;
use crate::domain::name::shorten;
use crate::service::cases::tags::{self, Tagging};
use crate::store::cases::tags::TagRecord;

pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list_case_tags, change_case_tags))
}

/// Lists the tags of a case
///
/// By name, with how many images have each. For members of the case, and administrators.
#[utoipa::path(get, path = "/cases/{id}/tags", tag = "cases", security(("user" = []), ("token" = [])), params(("id" = Uuid, Path)),
    responses((status = 200, body = Page<TagCount>)))]
async fn list_case_tags(
    State(state): AppState,
    AnyUser(user): AnyUser,
    _: NoQuery,
    Path(id): Path<Uuid>,
) -> Answer<Json<Page<TagCount>>> {
    let found = tags::list(&state.ctx, &state.accounts, &user, id).await?;
    Ok(Json(Page { items: found.into_iter().map(TagCount::from).collect(), next_cursor: None }))
}

/// Gives and takes tags
///
/// For editors of the case, and administrators: up to 1,000 images that the case holds. A bad or unknown one has its problem in its
/// place.
#[utoipa::path(post, path = "/cases/{id}/tags", tag = "cases", security(("user" = []), ("token" = [])), params(("id" = Uuid, Path)),
    request_body = ChangeTags, responses((status = 200, body = TagsChanged)))]
async fn change_case_tags(
    State(state): AppState,
    AnyUser(user): AnyUser,
    Path(id): Path<Uuid>,
    Json(ask): Json<ChangeTags>,
) -> Answer<Json<TagsChanged>> {
    if ask.images.is_empty() {
        return Err(Fault::new(Code::NoImage, "No image was named.").at("body", "/images").into());
    }
    if ask.images.len() > HASHES_MAX {
        return Err(Fault::new(Code::TooManyImages, format!("More than {HASHES_MAX} hashes."))
            .at("body", "/images")
            .into());
    }
    let tagging = Tagging { add: check(ask.add, "/add")?, remove: check(ask.remove, "/remove")? };
    if let Some(both) = tagging.add.iter().find(|tag| tagging.remove.contains(tag)) {
        let detail = format!("{both:?} is to be given and taken.");
        return Err(Fault::invalid("body", "/remove", detail).into());
    }
    let parse = |(place, text): (usize, &String)| extract::md5(text, "body", format!("/images/{place}"));
    let asked: Vec<Result<ContentMd5, Fault>> = ask.images.iter().enumerate().map(parse).collect();
    let distinct: BTreeSet<ContentMd5> = asked.iter().filter_map(|md5| md5.as_ref().ok()).copied().collect();
    let distinct: Vec<ContentMd5> = distinct.into_iter().collect();
    let tagged = tags::set(&state.ctx, &state.accounts, &user, id, &distinct, &tagging).await?;
    let item = |(sent, md5): (&String, Result<ContentMd5, Fault>)| {
        let of = |md5: ContentMd5| tagged.get(&md5).cloned().unwrap_or_else(|| Err(Fault::not_found("image")));
        let (md5, tags) = match md5 {
            Ok(md5) => (md5.to_string(), of(md5)),
            Err(fault) => (shorten(sent).to_lowercase(), Err(fault)),
        };
        match tags {
            Ok(tags) => TaggedImage { md5, status: 200, tags, problem: None },
            Err(fault) => {
                let problem = Problem::from(fault);
                TaggedImage { md5, status: problem.status, tags: Vec::new(), problem: Some(problem) }
            }
        }
    };
    Ok(Json(TagsChanged { items: ask.images.iter().zip(asked).map(item).collect() }))
}

/// Tags of a request, each once.
fn check(tags: Vec<String>, pointer: &str) -> Result<Vec<String>, Fault> {
    if tags.len() as i64 > IMAGE_TAGS_MAX {
        return Err(Fault::invalid("body", pointer, format!("More than {IMAGE_TAGS_MAX} tags.")));
    }
    for (place, tag) in tags.iter().enumerate() {
        check_label(tag, LABEL_CHARS_MAX).map_err(|fault| fault.at("body", format!("{pointer}/{place}")))?;
    }
    Ok(tags.into_iter().collect::<BTreeSet<_>>().into_iter().collect())
}

impl From<TagRecord> for TagCount {
    fn from(tag: TagRecord) -> Self {
        Self { at_least: tag.images == tags::IMAGES_COUNTED, tag: tag.tag, images: tag.images }
    }
}
