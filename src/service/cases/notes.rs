//! Notes on cases and their images.

use uuid::Uuid;

use super::{change, enter, read};
use crate::domain::case::CaseRole;
use crate::domain::fault::{Code, Fault};
use crate::domain::image::ContentMd5;
use crate::service::accounts::{Accounts, User};
use crate::service::{Ctx, Result};
use crate::store::cases::notes::{self, NoteRecord};
use crate::store::cases::tags;

/// Notes of a case, newest first, from before the cursor: all, or those on one image.
pub async fn list(
    ctx: &Ctx,
    accounts: &Accounts,
    user: &User,
    case: Uuid,
    image: Option<ContentMd5>,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<NoteRecord>> {
    enter(accounts, user, case, CaseRole::Viewer).await?;
    read(ctx, case, async |db| Ok(notes::list(db, case, image, before, limit).await?)).await
}

/// Writes a note on a case, or on an image that it holds.
pub async fn add(
    ctx: &Ctx,
    accounts: &Accounts,
    user: &User,
    case: Uuid,
    image: Option<ContentMd5>,
    text: &str,
) -> Result<NoteRecord> {
    let user = enter(accounts, user, case, CaseRole::Editor).await?;
    change(ctx, case, async |tx| {
        let held = match image {
            Some(md5) => {
                let held = tags::lock_held(tx, case, &[md5]).await?.pop();
                Some(held.ok_or_else(|| Fault::not_found("image").on("/image"))?)
            }
            None => None,
        };
        let (id, at) = notes::add(tx, case, held.map(|image| image.id), user.account.id, text).await?;
        let (md5, author) = (image.map(|md5| md5.0.to_vec()), user.account.name.clone());
        Ok(NoteRecord { id, md5, author, text: text.to_owned(), at })
    })
    .await
}

/// Removes a note: editors their own, owners any.
pub async fn remove(ctx: &Ctx, accounts: &Accounts, user: &User, case: Uuid, note: Uuid) -> Result<()> {
    let user = enter(accounts, user, case, CaseRole::Editor).await?;
    change(ctx, case, async |tx| {
        let author = notes::author(tx, case, note).await?.ok_or_else(|| Fault::not_found("note"))?;
        if author != user.account.id && !user.may(case, CaseRole::Owner) {
            let mend = "Ask who wrote it, or an owner of the case.";
            return Err(Fault::new(Code::MissingRole, "The note is somebody else's.").mend(mend).into());
        }
        Ok(notes::remove(tx, note).await?)
    })
    .await
}
