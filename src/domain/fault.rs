//! What can be wrong with a request, as one table of stable codes.

/// Declares [`Code`] with its name, title and the advice, also that of the served page `/problems/{code}`.
macro_rules! codes {
    ($($variant:ident $text:literal $title:literal $help:literal;)+) => {
        /// A stable name of a kind of fault; clients may match on it for ever.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $(#[doc = concat!($title, ": ", $help)] $variant,)+ }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The name in problem documents and in `/problems/{code}`.
            pub const fn as_str(self) -> &'static str { match self { $(Self::$variant => $text,)+ } }

            /// A short title, the same for every occurrence.
            pub const fn title(self) -> &'static str { match self { $(Self::$variant => $title,)+ } }

            /// What to do about it, in a sentence or two that repeat no detail.
            pub const fn help(self) -> &'static str { match self { $(Self::$variant => $help,)+ } }
        }
    };
}

codes! {
    MalformedJson "malformed_json" "Malformed JSON" "Send one JSON text (RFC 8259) in UTF-8. NaN, Infinity and trailing commas are not JSON.";
    MalformedBody "malformed_body" "Malformed body" "Send the body in the form that its Content-Type names.";
    MalformedRequest "malformed_request" "Malformed request" "Send HTTP/1.1 as any usual client does.";
    UriTooLong "uri_too_long" "Path too long" "Shorten the query; long lists go into the body of POST /predict/status and its like.";
    HeaderTooLarge "header_too_large" "Header too large" "Send fewer and shorter header fields, of 16 KiB in all.";
    BodyCutOff "body_cut_off" "Body cut off" "Send the request again, whole and without long pauses.";
    MissingCredential "missing_credential" "Missing credential" "Send `Authorization: Bearer` with a token of POST /auth/login, or with an API key.";
    UnknownCredential "unknown_credential" "Unknown credential" "Log in again, or ask for a new key. A key must be sent whole.";
    ExpiredCredential "expired_credential" "Expired credential" "Log in again, or ask for a new key.";
    DisabledCredential "disabled_credential" "Disabled credential" "Ask an administrator to enable the account, or for a new key.";
    WrongPassword "wrong_password" "Wrong name or password" "Check both, capitals too. An administrator can set a new password with PATCH /auth/users/{name}, and sees there whether the account is disabled.";
    MissingRole "missing_role" "Missing role" "Ask an administrator, who can grant the role with PATCH /auth/users/{name}.";
    WrongService "wrong_service" "Wrong service type" "Use the credential that this operation's description names: people send a token of POST /auth/login, microservices an API key of the right service type.";
    OutOfScope "out_of_scope" "Model out of scope" "Use a key whose globs match the model. A researcher's key reaches only unknown models and the researcher's own; an administrator's key reaches any.";
    NotFound "not_found" "Not found" "Check the name or id. What is somebody else's is answered as if it were not there: log in as its owner or as an administrator.";
    NoCheckpoint "no_checkpoint" "No checkpoint" "Begin from the start, and save a checkpoint with PUT.";
    NoThumbnail "no_thumbnail" "No thumbnail" "Show the placeholder, or the photograph itself with GET /images/{md5}/content. A new image's thumbnail comes within seconds; GET /images/{md5} tells in `derived`.";
    NoModelFile "no_model_file" "No model file" "Start a run whose service uploads a model before it completes.";
    MethodNotAllowed "method_not_allowed" "Method not allowed" "Use a method that GET /docs lists for this path.";
    SubmissionConflict "submission_conflict" "Submission of another user or case" "Choose a new UUID: this one is in another user's hands, or its photographs go to another case.";
    CaseClosed "case_closed" "Case closed" "Have an owner of the case reopen it, with PATCH /cases/{id} and `closed` false, or name another case.";
    SubmissionUsed "submission_used" "Submission already used" "Choose a new UUID for another run; the same one answers only the same request.";
    RunNotFinished "run_not_finished" "Run not finished" "Wait until the run has succeeded: GET /training/results/{id} with `wait_s` tells.";
    VersionTaken "version_taken" "Version taken" "Choose another `version`: what a version of a model is never changes.";
    StaleLease "stale_lease" "Stale lease" "Drop the work and claim again; somebody else has this job, or it has ended.";
    NameTaken "name_taken" "Name taken" "Choose another name, or change the account with PATCH /auth/users/{name}.";
    NotEnded "not_ended" "Job not ended" "Wait until it has ended, or cancel it first.";
    RetiredModel "retired_model" "Model retired" "Stop this worker, or have the model's owner or an administrator bring it back with `retired` false: PATCH /models/{name}, or of a dataset /training/datasets/{name}.";
    OwnCase "own_case" "An account's own case" "Make another case with POST /cases: an account's own is neither closed nor deleted, and its account stays its owner.";
    LastOwner "last_owner" "Last owner" "Make another member an owner first, with PUT /cases/{id}/members/{user}.";
    TooManyCases "too_many_cases" "Too many cases" "Leave or delete a case first.";
    CaseFull "case_full" "Case full" "Remove something first: the detail says what there is too much of.";
    TooManyExports "too_many_exports" "Too many exports" "Remove one that nobody needs any more with DELETE /exports/{id}, or wait until its time is up.";
    ExportNotReady "export_not_ready" "Export not ready" "Ask GET /exports/{id} until `state` is succeeded; ask for another one with POST /exports if it is failed.";
    LastAdmin "last_admin" "Last administrator" "Make another account an administrator first.";
    UnknownWorker "unknown_worker" "Unknown worker" "Register again with POST /workers/register.";
    TooLarge "too_large" "Too large" "Send less at once, within the limit that the detail names.";
    FileTooLarge "file_too_large" "File too large" "Make the image smaller, or ask the operator for a higher DARKROOM_IMAGE_BYTES_MAX.";
    ResultTooLarge "result_too_large" "Result too large" "Keep the result within `max_result_bytes`: store large data elsewhere and return a reference.";
    AnswerTooLarge "answer_too_large" "Answer too large" "Ask for less at once: fewer hashes, a smaller `limit`, or only some `models`.";
    UnsupportedMediaType "unsupported_media_type" "Unsupported media type" "Send a Content-Type that this operation's description names, as application/json.";
    RangeNotSatisfiable "range_not_satisfiable" "Range not satisfiable" "Ask for bytes within the image, or leave the Range header out.";
    UnknownModel "unknown_model" "Unknown model" "Choose a model that GET /models lists, or start a microservice that registers this one; a retired model takes no jobs until its owner or an administrator restores it.";
    UnknownDataset "unknown_dataset" "Unknown dataset" "Choose a dataset that GET /training/datasets lists, or start a training service that registers this one.";
    InvalidField "invalid_field" "Invalid field" "Correct the field that `errors` points to; GET /docs describes what each may hold.";
    InvalidFilter "invalid_filter" "Invalid filter" "Correct the filter at that character. What is to be looked for as it stands goes into quotation marks; docs/search.md has the grammar.";
    UnknownField "unknown_field" "Unknown field" "Check its spelling, or leave it out; GET /docs lists the fields of each operation.";
    DuplicateKey "duplicate_key" "Duplicate key" "Give each key and field once.";
    NulCharacter "nul_character" "NUL character" "Remove U+0000 from the text: no store here can keep it.";
    TooDeep "too_deep" "JSON too deep" "Nest arrays and objects less deeply.";
    InvalidHash "invalid_hash" "Invalid hash" "Send the MD5 of the image's bytes: 32 hexadecimal digits.";
    NoImage "no_image" "No image" "Send at least one file in `images`, or as JSON the MD5 of one that a case of yours holds.";
    NoModel "no_model" "No model" "Send at least one name in `models`; GET /models lists them.";
    TooManyImages "too_many_images" "Too many images" "Split the request; requests with one `submission` make one submission.";
    EmptyFile "empty_file" "Empty file" "Send the file again if it should have content: it was saved or copied empty, or only in part.";
    NotAnImage "not_an_image" "Not an image" "Send a JPEG, PNG, GIF, BMP, TIFF, WebP, HEIC or AVIF; the content decides, whatever the file's name.";
    MalformedImage "malformed_image" "Malformed image" "Open the file in a viewer; if it shows, save it anew as JPEG or PNG and send that.";
    ImageTooBig "image_too_big" "Image too big" "Make the image smaller before sending it. If you did not expect its size, take it for a decompression bomb.";
    Md5Collision "md5_collision" "MD5 collision" "Keep the file and tell the operator: two different files with one MD5 are made on purpose. Darkroom never mixes them up.";
    NothingAccepted "nothing_accepted" "No file was accepted" "Mend the files as `errors` says for each, or leave them out; without `strict` the good ones are taken.";
    ChecksumMismatch "checksum_mismatch" "Checksum mismatch" "Send the file again: what arrived is not what `sha256` names, and nothing of it was kept.";
    NoLiveWorker "no_live_worker" "No live worker" "Start a worker, or leave `require_live` out and let the jobs wait.";
    InvalidResult "invalid_result" "Invalid result" "Return `{\"items\": […], \"fields\": {…}, \"summary\": null}`, with what `errors` points to corrected.";
    TooManyRequests "too_many_requests" "Too many requests" "Wait as long as Retry-After says, then send it again.";
    TooManyLogins "too_many_logins" "Too many failed log-ins" "Wait as long as Retry-After says, then try the right password.";
    Internal "internal" "Internal error" "Give the operator the `request_id`: the log has the cause under it.";
    Unavailable "unavailable" "Unavailable" "Send it again as Retry-After says; if it lasts, tell the operator.";
    StorageFull "storage_full" "Storage full" "Tell the operator, then send it again.";
}

/// One fault: a code, what happened, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail} {mend}", .code.title())]
pub struct Fault {
    pub code: Code,
    /// What happened, naming the offending value.
    pub detail: String,
    /// What to do; the code's general help unless something better is known.
    pub mend: String,
    pub errors: Vec<FieldFault>,
    /// Seconds after which the same request may do better.
    pub retry_after_s: Option<u32>,
}

/// Where in a request a fault lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldFault {
    /// The part of the request; nothing where only whoever read the request knows which.
    pub part: Option<&'static str>,
    /// A JSON pointer (RFC 6901) into that part.
    pub pointer: String,
    pub code: Code,
    pub detail: String,
}

impl Fault {
    /// A fault with the general mend of its code.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), mend: code.help().to_owned(), errors: Vec::new(), retry_after_s: None }
    }

    /// Replaces the mend by a better one.
    #[must_use]
    pub fn mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = mend.into();
        self
    }

    /// Says in which part of the request it lies, and where there.
    #[must_use]
    pub fn at(self, part: &'static str, pointer: impl Into<String>) -> Self {
        self.told(Some(part), pointer.into())
    }

    /// Says in which field of what was asked for it lies.
    #[must_use]
    pub fn on(self, pointer: impl Into<String>) -> Self {
        self.told(None, pointer.into())
    }

    /// Says in which part of the request those fields lie of which that is not said yet.
    #[must_use]
    pub fn within(mut self, part: &'static str) -> Self {
        self.errors.iter_mut().for_each(|field| field.part = field.part.or(Some(part)));
        self
    }

    fn told(mut self, part: Option<&'static str>, pointer: String) -> Self {
        let (code, detail) = (self.code, self.detail.clone());
        self.errors.push(FieldFault { part, pointer, code, detail });
        self
    }

    /// Puts the places that it tells under the one of the item that they lie in.
    #[must_use]
    pub fn under(mut self, pointer: &str) -> Self {
        for field in &mut self.errors {
            field.pointer.insert_str(0, pointer);
        }
        self
    }

    /// Says when to try again, in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// The one answer for what is absent and for what is not the caller's: they cannot be told apart.
    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("There is no such {what}, or it is not yours to see."))
    }

    /// A value of a field that is out of range or of the wrong form.
    pub fn invalid(part: &'static str, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(Code::InvalidField, detail).at(part, pointer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_help_says_what_to_do() {
        let states = ["A", "An", "Every", "It", "No", "Only", "Other", "Something", "The", "This", "Too"];
        for code in Code::ALL {
            let first = code.help().split(' ').next().unwrap_or_default();
            assert!(!states.contains(&first) && code.help().ends_with('.'), "{}: {}", code.as_str(), code.help());
        }
    }
}
