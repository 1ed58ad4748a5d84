//! What can be wrong with a request, as one table of stable codes.

/// Declares [`Code`] with its name, title and the explanation on the served page `/problems/{code}`.
macro_rules! codes {
    ($($variant:ident $text:literal $title:literal $help:literal;)+) => {
        /// A stable name of a kind of fault; clients may match on it for ever.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $(#[doc = $help] $variant,)+ }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The name in problem documents and in `/problems/{code}`.
            pub const fn as_str(self) -> &'static str { match self { $(Self::$variant => $text,)+ } }

            /// A short title, the same for every occurrence.
            pub const fn title(self) -> &'static str { match self { $(Self::$variant => $title,)+ } }

            /// What it means and how to mend it, in a sentence or two.
            pub const fn help(self) -> &'static str { match self { $(Self::$variant => $help,)+ } }
        }
    };
}

codes! {
    MalformedJson "malformed_json" "Malformed JSON" "The body is not JSON (RFC 8259). NaN, Infinity and trailing commas are not JSON.";
    MalformedBody "malformed_body" "Malformed body" "The body cannot be parsed as its Content-Type says.";
    BodyCutOff "body_cut_off" "Body cut off" "The body ended before its end, or came too slowly. Send the request again.";
    MissingCredential "missing_credential" "Missing credential" "Send `Authorization: Bearer` with a token of POST /auth/login, or with an API key.";
    UnknownCredential "unknown_credential" "Unknown credential" "The token or API key is not known here. Log in again, or ask for a new key.";
    ExpiredCredential "expired_credential" "Expired credential" "The token or API key has expired. Log in again, or ask for a new key.";
    DisabledCredential "disabled_credential" "Disabled credential" "The account or API key was disabled. Ask an administrator.";
    WrongPassword "wrong_password" "Wrong name or password" "The name and password do not belong together, or the account is disabled.";
    MissingRole "missing_role" "Missing role" "The account lacks a role that this operation needs. An administrator can grant it with PATCH /auth/users/{name}.";
    WrongService "wrong_service" "Wrong service type" "The credential is of another kind or service type than this operation needs.";
    OutOfScope "out_of_scope" "Model out of scope" "The API key may not reach this model: no glob of its scope matches, or the model belongs to somebody else.";
    NotFound "not_found" "Not found" "It does not exist, or it is not yours to see.";
    MethodNotAllowed "method_not_allowed" "Method not allowed" "The path exists but not with this method. GET /docs lists the operations.";
    SubmissionConflict "submission_conflict" "Submission of another user" "The submission id is taken by another user. Choose a new UUID.";
    StaleLease "stale_lease" "Stale lease" "The lease is not held by this worker any more, or never was. Drop the work; somebody else has it.";
    NameTaken "name_taken" "Name taken" "An account of that name exists. Choose another name.";
    NotEnded "not_ended" "Job not ended" "Only an ended job can be tried again. Wait for it or cancel it first.";
    LastAdmin "last_admin" "Last administrator" "This would leave no enabled administrator. Make another one first.";
    UnknownWorker "unknown_worker" "Unknown worker" "This session is not alive any more. Register again with POST /workers/register.";
    TooLarge "too_large" "Too large" "The request is over a size limit, which its detail names. Send less at once.";
    FileTooLarge "file_too_large" "File too large" "The file is over the size limit for one image, which its detail names.";
    ResultTooLarge "result_too_large" "Result too large" "The result is over `max_result_bytes`. Store large data elsewhere and return a reference.";
    UnsupportedMediaType "unsupported_media_type" "Unsupported media type" "The request's Content-Type is not one that this operation reads.";
    RangeNotSatisfiable "range_not_satisfiable" "Range not satisfiable" "The Range header asks for bytes that the image does not have.";
    UnknownModel "unknown_model" "Unknown model" "No microservice has registered a model of that name, or it was retired. GET /models lists them.";
    InvalidField "invalid_field" "Invalid field" "A field has the wrong type or a value out of its range.";
    UnknownField "unknown_field" "Unknown field" "The request has a field that this operation does not know. Check its spelling.";
    DuplicateKey "duplicate_key" "Duplicate key" "A JSON object has the same key twice, so its meaning is not defined.";
    NulCharacter "nul_character" "NUL character" "A string holds U+0000, which no store here can keep. Remove it.";
    TooDeep "too_deep" "JSON too deep" "The JSON is nested deeper than the limit.";
    InvalidHash "invalid_hash" "Invalid hash" "An image's key is its MD5: 32 hexadecimal digits.";
    NoImage "no_image" "No image" "The request names no image. Send at least one file in `images`.";
    NoModel "no_model" "No model" "The request names no model. Send at least one name in `models`.";
    TooManyImages "too_many_images" "Too many images" "The request has more images, or more image × model pairs, than one request may have. Split it under one `submission`.";
    EmptyFile "empty_file" "Empty file" "The file has no bytes.";
    NotAnImage "not_an_image" "Not an image" "The file's signature is not JPEG, PNG, GIF, BMP, TIFF, WebP, HEIC or AVIF.";
    MalformedImage "malformed_image" "Malformed image" "The file begins like an image, but its structure cannot be read.";
    ImageTooBig "image_too_big" "Image too big" "The image declares more pixels or frames than the limit. It may be a decompression bomb.";
    Md5Collision "md5_collision" "MD5 collision" "Other bytes with the same MD5 are stored already. Darkroom never mixes the two up.";
    NothingAccepted "nothing_accepted" "No file was accepted" "Every file was rejected, or one was and `strict` is set; `errors` says why for each.";
    NoLiveWorker "no_live_worker" "No live worker" "`require_live` is set and a model has no live worker. Start one, or leave `require_live` out.";
    InvalidResult "invalid_result" "Invalid result" "The result is not a document that Darkroom keeps; its detail says where.";
    TooManyRequests "too_many_requests" "Too many requests" "Wait as long as Retry-After says.";
    TooManyLogins "too_many_logins" "Too many failed log-ins" "Too many wrong passwords. Wait as long as Retry-After says.";
    Internal "internal" "Internal error" "Something is broken here. Give the operator the request_id.";
    Unavailable "unavailable" "Unavailable" "A part of the service does not answer. Try again as Retry-After says.";
    StorageFull "storage_full" "Storage full" "The image store has no room. Tell the operator.";
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
