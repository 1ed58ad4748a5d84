//! Cases: their members, tags, notes and saved filters.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::page::Paging;
use super::problem::Problem;
use super::status::HASHES_MAX;
use super::{Md5Text, NAMES_MAX, at_most};
use crate::domain::case::CaseRole;

/// How a list of what cases hold is paged.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CasePaging {
    /// Only what this case holds.
    pub case: Option<Uuid>,
    /// The most items, 1 to 500; 100 when left out.
    pub limit: Option<i64>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl CasePaging {
    /// The case, and how the list is paged.
    pub fn parts(self) -> (Option<Uuid>, Paging) {
        (self.case, Paging { limit: self.limit, cursor: self.cursor })
    }
}

/// A case.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Case, example = json!({"id": "019aac9e-0000-7000-8000-00000000c001", "name": "Harbour", "description": "Pier 4, 21 November",
    "own": false, "role": "owner", "images": 412, "at_least": false,
    "members": [{"user": "ines", "role": "owner", "added_at": "2026-11-22T09:00:00Z"}],
    "created_at": "2026-11-22T09:00:00Z", "closed_at": null}))]
pub struct CaseOut {
    pub id: Uuid,
    pub name: String,
    pub description: String,
    /// Whether it is the case of an account: what is submitted to no other goes there. It is neither closed nor deleted.
    pub own: bool,
    /// What you are in it; null if no member.
    pub role: Option<CaseRole>,
    /// How many images it holds; of a list at most 1,000 of each case are counted, of one that is shown 100,000.
    pub images: i64,
    /// Whether it may hold more than were counted.
    pub at_least: bool,
    /// By name.
    pub members: Vec<MemberOut>,
    pub created_at: DateTime<Utc>,
    /// Null while it takes changes.
    pub closed_at: Option<DateTime<Utc>>,
}

/// A member of a case.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Member)]
pub struct MemberOut {
    /// The account's name.
    pub user: String,
    pub role: CaseRole,
    /// Since when it has this role.
    pub added_at: DateTime<Utc>,
}

/// A new case.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Harbour", "description": "Pier 4, 21 November"}))]
pub struct CreateCase {
    #[schema(min_length = 1, max_length = 200)]
    pub name: String,
    #[schema(max_length = 4000)]
    pub description: Option<String>,
}

/// A change of a case; what is left out stays.
#[derive(Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"description": "Pier 4, 21 and 22 November"}))]
pub struct UpdateCase {
    #[schema(min_length = 1, max_length = 200)]
    pub name: Option<String>,
    #[schema(max_length = 4000)]
    pub description: Option<String>,
    /// Whether it is read only.
    pub closed: Option<bool>,
}

/// What an account is to be in a case.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"role": "editor"}))]
pub struct SetMember {
    pub role: CaseRole,
}

/// What went with a deleted case. Case, submissions and images stay in the audit by their ids.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"case": "019aac9e-0000-7000-8000-00000000c001", "deleted_at": "2026-11-22T09:00:00Z", "by": "ines", "titles": 412,
    "images": 400, "bytes": 1677721600, "tags": 17, "notes": 3, "done": true}))]
pub struct CaseReceipt {
    pub case: Uuid,
    pub deleted_at: DateTime<Utc>,
    /// Who deleted it.
    pub by: String,
    /// Names under which images had come to it.
    pub titles: i64,
    /// Images that no other case held; results and bytes went with them.
    pub images: i64,
    pub bytes: i64,
    pub tags: i64,
    pub notes: i64,
    /// Whether all has gone; the rest does within minutes.
    pub done: bool,
}

/// A tag, and how many images have it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"tag": "beach", "images": 12, "at_least": false}))]
pub struct TagCount {
    pub tag: String,
    /// At most 10,000 are counted.
    pub images: i64,
    /// Whether more may have it than were counted.
    pub at_least: bool,
}

/// Tags to give to images, and to take from them.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"images": ["9e107d9d372bb6826bd81d3542a419d6"], "add": ["beach"], "remove": []}))]
pub struct ChangeTags {
    /// MD5s; what is none has its problem in its place.
    #[serde(deserialize_with = "at_most::<HASHES_MAX, _, _>")]
    #[schema(min_items = 1, max_items = 1000)]
    pub images: Vec<String>,
    /// Each of 1 to 64 characters.
    #[serde(default, deserialize_with = "at_most::<NAMES_MAX, _, _>")]
    #[schema(max_items = 50)]
    pub add: Vec<String>,
    #[serde(default, deserialize_with = "at_most::<NAMES_MAX, _, _>")]
    #[schema(max_items = 50)]
    pub remove: Vec<String>,
}

/// What became of each image, in the order of the request.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"items": [{"md5": "9e107d9d372bb6826bd81d3542a419d6", "status": 200, "tags": ["beach"], "problem": null}]}))]
pub struct TagsChanged {
    pub items: Vec<TaggedImage>,
}

/// What became of one.
#[derive(Serialize, ToSchema)]
pub struct TaggedImage {
    pub md5: String,
    pub status: u16,
    /// All that it has now, in this case.
    pub tags: Vec<String>,
    pub problem: Option<Problem>,
}

/// How notes are asked for.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct NotesQuery {
    /// Only those on the image of this MD5.
    pub image: Option<String>,
    /// The most items, 1 to 500; 100 when left out.
    pub limit: Option<i64>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// A note.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Note, example = json!({"id": "019aac9e-4e3b-7c11-9d5f-2b7f0a5f3a11", "image": "9e107d9d372bb6826bd81d3542a419d6", "user": "ines",
    "text": "The same jacket as in 0412.jpg", "created_at": "2026-11-22T09:00:00Z"}))]
pub struct NoteOut {
    pub id: Uuid,
    /// The MD5 of the image that it is about; null where it is about the case.
    pub image: Option<String>,
    /// Who wrote it.
    pub user: String,
    pub text: String,
    pub created_at: DateTime<Utc>,
}

/// A new note.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"image": "9e107d9d372bb6826bd81d3542a419d6", "text": "The same jacket as in 0412.jpg"}))]
pub struct CreateNote {
    /// Left out, it is about the case.
    #[schema(value_type = Option<Md5Text>)]
    pub image: Option<String>,
    #[schema(min_length = 1, max_length = 4000)]
    pub text: String,
}

/// A saved filter.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"name": "people at the beach", "filter": "label:person>=0.6 tag:beach", "user": "ines", "saved_at": "2026-11-22T09:00:00Z"}))]
pub struct SavedFilter {
    pub name: String,
    pub filter: String,
    /// Who saved it last.
    pub user: String,
    pub saved_at: DateTime<Utc>,
}

/// A filter to save.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"filter": "label:person>=0.6 tag:beach"}))]
pub struct SaveFilter {
    #[schema(min_length = 1, max_length = 2000)]
    pub filter: String,
}
