//! Cases over HTTP: found by name or id, made, changed, deleted.

use reqwest::Method;
use uuid::Uuid;

use super::error::{ApiError, ClientFault, Repeat};
use super::http::{Api, REQUEST_TIMEOUT, answer, decode};
use super::text;
use crate::api::cases::{CaseOut, CaseReceipt, CreateCase, SetMember, UpdateCase};
use crate::domain::case::CaseRole;

/// The case of this id, or of this name among those that one sees.
///
/// # Errors
/// See [`ApiError`]; no case has that name, or several have.
pub async fn find(api: &Api, named: &str) -> anyhow::Result<CaseOut> {
    if let Ok(id) = named.parse::<Uuid>() {
        return Ok(api.get(&["cases", &id.to_string()], &[], REQUEST_TIMEOUT).await?);
    }
    let mut found = self::named(api, named).await?;
    let name = text::one_line(named, 80);
    let told = match (found.pop(), &found[..]) {
        (Some(case), []) => return Ok(case),
        (None, _) => {
            format!("no case of yours is named {name:?}: `darkroom cases` lists them, `darkroom case make` makes one")
        }
        (Some(last), others) => {
            let ids: Vec<String> = others.iter().chain([&last]).map(|case| case.id.to_string()).collect();
            format!("several cases are named {name:?}; say which by its id: {}", ids.join(", "))
        }
    };
    Err(ClientFault::Usage(told).into())
}

/// Those of this name, among the cases that one sees.
///
/// # Errors
/// See [`ApiError`].
pub async fn named(api: &Api, name: &str) -> Result<Vec<CaseOut>, ApiError> {
    let mut found: Vec<CaseOut> = api.list(&["cases"], &[], None).await?;
    found.retain(|case| case.name == name);
    Ok(found)
}

/// Makes a case.
///
/// # Errors
/// See [`ApiError`].
pub async fn make(api: &Api, case: &CreateCase) -> Result<CaseOut, ApiError> {
    api.post(&["cases"], case, Repeat::Never).await
}

/// Changes a case.
///
/// # Errors
/// See [`ApiError`].
pub async fn change(api: &Api, id: Uuid, change: &UpdateCase) -> Result<CaseOut, ApiError> {
    api.patch(&["cases", &id.to_string()], change).await
}

/// Makes an account a member, or gives it another role.
///
/// # Errors
/// See [`ApiError`].
pub async fn set_member(api: &Api, id: Uuid, user: &str, role: CaseRole) -> Result<CaseOut, ApiError> {
    let id = id.to_string();
    let request = || {
        api.request(Method::PUT, &["cases", &id, "members", user]).timeout(REQUEST_TIMEOUT).json(&SetMember { role })
    };
    api.retrying(Repeat::Harmless, async || decode(answer(request()).await?).await).await
}

/// Takes a member out.
///
/// # Errors
/// See [`ApiError`].
pub async fn remove_member(api: &Api, id: Uuid, user: &str) -> Result<(), ApiError> {
    api.delete(&["cases", &id.to_string(), "members", user]).await
}

/// Deletes a case; answers what has gone with it by now.
///
/// # Errors
/// See [`ApiError`].
pub async fn delete(api: &Api, id: Uuid) -> Result<CaseReceipt, ApiError> {
    let id = id.to_string();
    match api.delete(&["cases", &id]).await {
        // Sent again after a lost answer, it finds nothing: the receipt tells.
        Err(error) if error.status() != Some(404) => return Err(error),
        _ => {}
    }
    api.get(&["cases", &id, "receipt"], &[], REQUEST_TIMEOUT).await
}
