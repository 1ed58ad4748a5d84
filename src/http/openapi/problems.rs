//! Which problems each operation may answer, by what it takes.

use utoipa::openapi::path::{Operation, Parameter, ParameterIn};
use utoipa::openapi::response::Response;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};

use crate::api::problem::Problem;
use crate::domain::fault::{Code, Fault};

/// What problems of a status are about, with an example.
const STATUSES: &[(u16, &str, Code, &str)] = &[
    (400, "The request cannot be parsed.", Code::MalformedJson, "The body is no JSON."),
    (401, "No credential, or one that does not hold.", Code::MissingCredential, "The request names no caller."),
    (403, "The credential holds, but not for this.", Code::MissingRole, "This needs the role admin."),
    (404, "There is none, or it is not the caller's.", Code::NotFound, "There is no such job."),
    (409, "It contradicts what is there.", Code::NameTaken, "There is an account \"ines\" already."),
    (410, "The worker's session was given up.", Code::UnknownWorker, "No session of this key has that id."),
    (
        413,
        "It is larger than what is taken, or its answer would be larger than what is told.",
        Code::TooLarge,
        "The body has more than 16 MiB.",
    ),
    (415, "The body is of another type.", Code::UnsupportedMediaType, "The body is text/plain."),
    (416, "The image has no such bytes.", Code::RangeNotSatisfiable, "The image has 1024 bytes."),
    (422, "It was understood, and is wrong.", Code::InvalidField, "limit is 0; it is from 1 to 500."),
    (429, "Too much at once; Retry-After says when to come again.", Code::TooManyRequests, "Too many calls wait."),
    (500, "Something is broken here.", Code::Internal, "Something is broken here."),
    (
        503,
        "A part of the service does not answer; Retry-After says when to come again.",
        Code::Unavailable,
        "A part of the service does not answer.",
    ),
    (507, "The storage is full.", Code::StorageFull, "The image store is full."),
];

/// What operations may answer besides what their shape tells, by their ids.
const BESIDES: &[(&str, &[u16])] = &[
    ("add_case_note", &[409]),
    ("beat_worker", &[410]),
    ("cancel_job", &[409]),
    ("cancel_submission", &[409]),
    ("change_case_tags", &[409]),
    ("claim_jobs", &[410]),
    ("complete_jobs", &[410]),
    ("count_changes", &[404]),
    ("count_images", &[404]),
    ("create_case", &[409]),
    ("create_export", &[404, 409]),
    ("create_user", &[409]),
    ("delete_case", &[409]),
    ("get_export_content", &[409, 416]),
    ("get_image_content", &[416]),
    ("get_image_thumbnail", &[416]),
    ("get_checkpoint", &[409, 416]),
    ("get_run_model", &[409, 416]),
    ("list_changes", &[404]),
    ("list_exports", &[404]),
    ("list_images", &[404]),
    ("list_submissions", &[404]),
    ("log_in", &[401]),
    ("leave_worker", &[410]),
    ("promote_run", &[409]),
    ("put_checkpoint", &[409, 507]),
    ("put_run_model", &[409, 507]),
    ("release_jobs", &[410]),
    ("remove_case_filter", &[409]),
    ("remove_case_member", &[409]),
    ("remove_case_note", &[409]),
    ("report_metrics", &[409]),
    ("register_worker", &[409]),
    ("retry_job", &[409]),
    ("save_case_filter", &[409]),
    ("search_images", &[404]),
    ("set_case_member", &[409]),
    ("start_run", &[409]),
    ("submit_images", &[404, 409, 507]),
    ("update_case", &[409]),
    ("update_user", &[409]),
];

/// Describes the problems that an operation may answer.
pub fn describe(operation: &mut Operation) {
    let secured = operation.security.as_ref().is_some_and(|needs| !needs.is_empty());
    let in_path = |p: &RefOr<Parameter>| matches!(p, RefOr::T(p) if p.parameter_in == ParameterIn::Path);
    let names_something = operation.parameters.as_ref().is_some_and(|all| all.iter().any(in_path));
    let mut statuses = vec![413, 422, 429, 500, 503];
    statuses.extend(if secured { &[401, 403][..] } else { &[] });
    statuses.extend(if names_something { &[404][..] } else { &[] });
    statuses.extend(if operation.request_body.is_some() { &[400, 415][..] } else { &[] });
    let id = operation.operation_id.as_deref();
    statuses.extend(BESIDES.iter().filter(|(of, _)| Some(*of) == id).flat_map(|(_, more)| *more));
    for status in statuses {
        // An operation may have said it better.
        let said = operation.responses.responses.entry(status.to_string());
        said.or_insert_with(|| RefOr::Ref(Ref::from_response_name(component(status))));
    }
}

/// The answers that operations refer to, by name.
pub fn components() -> impl Iterator<Item = (String, RefOr<Response>)> {
    STATUSES.iter().map(|(status, text, code, detail)| {
        let example = serde_json::to_value(Problem::from(Fault::new(*code, *detail))).ok();
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).example(example);
        let response = ResponseBuilder::new().description(*text).content("application/problem+json", content.build());
        (component(*status), RefOr::T(response.build()))
    })
}

fn component(status: u16) -> String {
    format!("Problem{status}")
}
