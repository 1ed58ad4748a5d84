//! Streams of events that carry state.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::problem::Problem;

/// The most topics of one stream.
pub const TOPICS_MAX: usize = 16;
/// The longest that a stream lasts, in seconds: whoever reads it comes again, perhaps to another replica.
pub const STREAM_S_MAX: f64 = 600.0;

/// What to follow.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// Topics, 1 to 16, separated by commas: `queues`, `models`, `workers`, `submissions`, `submissions:<case>`, `submission:<id>`,
    /// `datasets`, `runs`, `run:<id>`, `exports`, `exports:<case>`, `images`, `images:<case>`.
    #[param(example = "models,workers", min_length = 1)]
    pub watch: String,
    /// End after so many seconds, 0 to 600 (600): with 0 as soon as each topic was told once.
    #[param(minimum = 0, maximum = 600)]
    pub for_s: Option<f64>,
}

/// An event, as its fields read.
#[derive(ToSchema)]
#[schema(example = json!({"event": "state", "id": "pQ3x0cZ1q2k", "data": "{\"topic\":\"models\",\"state\":{\"items\":[],\"next_cursor\":null}}"}))]
pub struct ServerEvent {
    #[schema(pattern = "^(state|problem)$")]
    pub event: String,
    /// What to send as `Last-Event-ID` when coming again.
    pub id: String,
    /// JSON: a `TopicEvent`, or of a problem a `TopicProblem`.
    pub data: String,
}

/// The data of an event `state`: all of one topic as it is now.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TopicEvent {
    /// As `watch` names it; ids are in lower case with hyphens, however they were given.
    pub topic: String,
    /// What the topic's route answers, the first page of it where that is a list.
    pub state: Value,
}

/// The data of an event `problem`: what ended a topic, or, without one, the whole stream.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TopicProblem {
    pub topic: Option<String>,
    pub problem: Problem,
}

/// The state of a topic `images`: whether there is anything new to be listed.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ImagesState {
    /// Of a case, how many photographs it holds, counted up to 10,000, under 20,000 names; null of all that are seen.
    pub images: Option<i64>,
    /// When the newest of them came.
    pub newest_at: Option<chrono::DateTime<chrono::Utc>>,
    /// How many names came in the ten seconds before it, counted up to 1,000: one that was written late moves this alone.
    pub late: i64,
}
