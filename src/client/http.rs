//! One HTTP request to the server: its URL, credential, time-out, retries and errors.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use parking_lot::Mutex;
use reqwest::{Client, ClientBuilder, Method, RequestBuilder, Response, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::destination::{Destination, is_loopback};
use super::error::{ApiError, ClientFault, Repeat};
use super::text;
use crate::api::accounts::TokenOut;
use crate::api::page::{LIMIT_MAX, Page};
use crate::api::problem::Problem;

/// Time-out of a request without a file or a wait in it.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// A request that is tried again says so as often as this, the first time after as long.
const TELL_EVERY: Duration = Duration::from_secs(3);
const TRIES: u32 = 6;
const TRIES_UNMET: u32 = 3;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A server, a credential and a pool of connections; cheap to clone.
#[derive(Clone)]
pub struct Api {
    http: Client,
    base: Url,
    token: Option<String>,
    /// Whether it ever answered: a server never met is mistyped rather than restarting.
    met: Arc<AtomicBool>,
    /// When it was last said that a request is tried again.
    told_at: Arc<Mutex<Option<Instant>>>,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

impl Api {
    /// Prepares requests to a server; connects to nothing yet.
    ///
    /// # Errors
    /// The address is none, or plain HTTP to another machine; the file of authorities cannot be used.
    pub fn new(to: &Destination, token: Option<String>) -> anyhow::Result<Self> {
        let base = to.url()?;
        let connector = to.connector(&base)?;
        Self::with(connector, base, token)
    }

    /// Prepares requests without a credential to a server on this machine, whoever its certificate names.
    ///
    /// # Errors
    /// The address is none of this machine's.
    pub fn on_this_machine(server: &str) -> anyhow::Result<Self> {
        let to = Destination::of(server);
        let base = to.url()?;
        if !is_loopback(&base) {
            return Err(ClientFault::Usage(format!("{server} is not on this machine")).into());
        }
        let connector = to.connector(&base)?.tls_danger_accept_invalid_certs(true);
        Self::with(connector, base, None)
    }

    fn with(connector: ClientBuilder, base: Url, token: Option<String>) -> anyhow::Result<Self> {
        let http = connector
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("darkroom/", env!("CARGO_PKG_VERSION")))
            .build()
            .context("cannot prepare TLS: are the system's certificates of authorities (ca-certificates) installed?")?;
        Ok(Self { http, base, token, met: Arc::default(), told_at: Arc::default() })
    }

    /// The server's address without a trailing slash, as shown to people.
    pub fn server(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// `GET` of the path with a query; `timeout` covers the whole answer.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        timeout: Duration,
    ) -> Result<T, ApiError> {
        let request = || self.request(Method::GET, path).timeout(timeout).query(query);
        self.retrying(Repeat::Harmless, async || decode(answer(request()).await?).await).await
    }

    /// The items of a list, page after page, until the last one or until there are as many as wanted.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn list<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&'static str, String)],
        most: Option<usize>,
    ) -> Result<Vec<T>, ApiError> {
        let enough = most.unwrap_or(usize::MAX);
        let limit = i64::try_from(enough).unwrap_or(LIMIT_MAX).min(LIMIT_MAX).to_string();
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut query = query.to_vec();
            // Short lists have neither, and refuse both.
            if most.is_some() || cursor.is_some() {
                query.push(("limit", limit.clone()));
            }
            query.extend(cursor.map(|cursor| ("cursor", cursor)));
            let page: Page<T> = self.get(path, &query, REQUEST_TIMEOUT).await?;
            items.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() || items.len() >= enough {
                items.truncate(enough);
                return Ok(items);
            }
        }
    }

    /// `POST` of a JSON body.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn post<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &B,
        repeat: Repeat,
    ) -> Result<T, ApiError> {
        let request = || self.request(Method::POST, path).timeout(REQUEST_TIMEOUT).json(body);
        self.retrying(repeat, async || decode(answer(request()).await?).await).await
    }

    /// `PATCH` with a JSON body; doing it twice is harmless.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn patch<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &B,
    ) -> Result<T, ApiError> {
        let request = || self.request(Method::PATCH, path).timeout(REQUEST_TIMEOUT).json(body);
        self.retrying(Repeat::Harmless, async || decode(answer(request()).await?).await).await
    }

    /// A token for a name and a password.
    ///
    /// # Errors
    /// See [`ApiError`]; 401 if they do not belong together.
    pub async fn log_in(&self, user: &str, password: &str) -> Result<TokenOut, ApiError> {
        let form = [("grant_type", "password"), ("username", user), ("password", password)];
        let request = || self.http.post(self.url(&["auth", "login"])).timeout(REQUEST_TIMEOUT).form(&form);
        self.retrying(Repeat::Harmless, async || decode(answer(request()).await?).await).await
    }

    /// Ends the token, or all tokens of its account.
    ///
    /// # Errors
    /// See [`ApiError`]; 401 if it has ended already.
    pub async fn log_out(&self, everywhere: bool) -> Result<(), ApiError> {
        let request = || {
            let request = self.request(Method::POST, &["auth", "logout"]).timeout(REQUEST_TIMEOUT);
            request.query(&[("everywhere", everywhere)])
        };
        self.retrying(Repeat::Harmless, async || answer(request()).await.map(drop)).await
    }

    /// `DELETE` of the path; the body of the answer is of no interest.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn delete(&self, path: &[&str]) -> Result<(), ApiError> {
        let request = || self.request(Method::DELETE, path).timeout(REQUEST_TIMEOUT);
        self.retrying(Repeat::Harmless, async || answer(request()).await.map(drop)).await
    }

    /// A request with the credential; the caller bounds its time.
    pub(super) fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let request = self.http.request(method, self.url(path));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Repeats `attempt` while that may help: lost connections and 429, 502, 503, 504, after a
    /// random pause that grows to 8 s, or after what `Retry-After` says (up to 60 s). Six tries in
    /// all, three for a server that has never answered.
    ///
    /// # Errors
    /// That of the last attempt.
    pub(super) async fn retrying<T, F>(&self, repeat: Repeat, attempt: F) -> Result<T, ApiError>
    where
        F: AsyncFn() -> Result<T, ApiError>,
    {
        let mut tried = 1;
        let begun = Instant::now();
        loop {
            let result = attempt().await;
            if !matches!(result, Err(ApiError::Transport(_))) {
                self.met.store(true, Ordering::Relaxed);
            }
            let error = match result {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let tries = if self.met.load(Ordering::Relaxed) { TRIES } else { TRIES_UNMET };
            match error.pause(repeat, tried).filter(|_| tried < tries) {
                Some(pause) => {
                    self.tell(&error, begun.elapsed());
                    tokio::time::sleep(pause).await;
                }
                None => return Err(error),
            }
            tried += 1;
        }
    }

    /// Says once in a while that it is being tried again, and for how long so far: silence looks like a hang.
    fn tell(&self, error: &ApiError, so_far: Duration) {
        let mut told_at = self.told_at.lock();
        if told_at.is_none_or(|at| at.elapsed() >= TELL_EVERY) && (so_far >= TELL_EVERY || told_at.is_some()) {
            *told_at = Some(Instant::now());
            text::say(&format!("{}; trying again, {} s so far", error.brief(), so_far.as_secs()));
        }
    }

    /// The server's address with the segments appended, each percent-encoded.
    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        url.set_query(None);
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }
}

/// Sends a request once; an answer has a 2xx status.
///
/// # Errors
/// See [`ApiError`].
pub(super) async fn answer(request: RequestBuilder) -> Result<Response, ApiError> {
    let response = request.send().await.map_err(ApiError::Transport)?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let retry_after = response
        .headers()
        .get(reqwest::header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .map(Duration::from_secs);
    let body = response.bytes().await.unwrap_or_default();
    let problem = serde_json::from_slice(&body).unwrap_or_else(|_| Problem::unexplained(status));
    Err(ApiError::Refused { problem: Box::new(Problem { status: status.as_u16(), ..problem }), retry_after })
}

/// Reads the whole body as JSON.
///
/// # Errors
/// The connection broke, or the body is something else.
pub(super) async fn decode<T: DeserializeOwned>(response: Response) -> Result<T, ApiError> {
    let url = response.url().path().to_owned();
    let body = response.bytes().await.map_err(ApiError::Transport)?;
    serde_json::from_slice(&body).map_err(|source| ApiError::Unintelligible { url, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_appended_to_the_address_and_encoded() {
        let api = Api::new(&Destination::of("https://127.0.0.1:8080/darkroom/"), None).unwrap();
        assert_eq!(api.server(), "https://127.0.0.1:8080/darkroom");
        let url = api.url(&["auth", "key", "a/b?c"]);
        assert_eq!(url.as_str(), "https://127.0.0.1:8080/darkroom/auth/key/a%2Fb%3Fc");
    }

    #[test]
    fn a_token_is_not_shown() {
        let to = Destination::of("http://127.0.0.1");
        assert!(!format!("{:?}", Api::new(&to, Some("secret".into())).unwrap()).contains("secret"));
    }
}
