//! Tags: what members of a case call its images.

use std::collections::{BTreeSet, HashMap};

use uuid::Uuid;

use super::{change, enter, read};
use crate::domain::case::{CaseRole, IMAGE_TAGS_MAX, TAGS_MAX};
use crate::domain::fault::{Code, Fault};
use crate::domain::image::ContentMd5;
use crate::service::accounts::{Accounts, User};
use crate::service::{Ctx, Result};
use crate::store::cases::tags::{self, HeldImage, TagRecord};

/// How many images of each tag of a list are counted.
pub const IMAGES_COUNTED: i64 = 10_000;

/// The different tags of a case, by name, with their images counted up to a limit.
pub async fn list(ctx: &Ctx, accounts: &Accounts, user: &User, case: Uuid) -> Result<Vec<TagRecord>> {
    enter(accounts, user, case, CaseRole::Viewer).await?;
    read(ctx, case, async |db| Ok(tags::list(db, case, TAGS_MAX, IMAGES_COUNTED).await?)).await
}

/// Tags to give and to take away.
#[derive(Debug, Default)]
pub struct Tagging {
    pub add: Vec<String>,
    pub remove: Vec<String>,
}

/// The tags that each image has afterwards, in order, or why it was left as it was.
pub type Tagged = HashMap<ContentMd5, std::result::Result<Vec<String>, Fault>>;

/// Changes the tags of images; those that the case does not hold are left out of the answer.
pub async fn set(
    ctx: &Ctx,
    accounts: &Accounts,
    user: &User,
    case: Uuid,
    images: &[ContentMd5],
    tagging: &Tagging,
) -> Result<Tagged> {
    let user = enter(accounts, user, case, CaseRole::Editor).await?;
    change(ctx, case, async |tx| {
        let held = tags::lock_held(tx, case, images).await?;
        let ids: Vec<i64> = held.iter().map(|image| image.id).collect();
        let now = tags::of_images(tx, case, &ids).await?;
        let fate = |image: HeldImage| {
            let next = next(now.get(&image.id), tagging);
            (image, next)
        };
        let fates: Vec<(HeldImage, std::result::Result<Vec<String>, Fault>)> = held.into_iter().map(fate).collect();
        let good: Vec<i64> = fates.iter().filter(|(_, next)| next.is_ok()).map(|(image, _)| image.id).collect();
        tags::change(tx, case, &good, &tagging.add, &tagging.remove, user.account.id).await?;
        if !tagging.add.is_empty() && tags::list(tx, case, TAGS_MAX + 1, 0).await?.len() as i64 > TAGS_MAX {
            return Err(Fault::new(Code::CaseFull, format!("A case has at most {TAGS_MAX} different tags.")).into());
        }
        Ok(fates.into_iter().map(|(image, next)| (image.md5, next)).collect())
    })
    .await
}

/// What an image's tags come to.
fn next(now: Option<&Vec<String>>, tagging: &Tagging) -> std::result::Result<Vec<String>, Fault> {
    let kept = now.into_iter().flatten().filter(|tag| !tagging.remove.contains(tag));
    let next: BTreeSet<String> = kept.chain(&tagging.add).cloned().collect();
    if next.len() as i64 > IMAGE_TAGS_MAX {
        return Err(Fault::new(Code::CaseFull, format!("An image has at most {IMAGE_TAGS_MAX} tags in a case.")));
    }
    Ok(next.into_iter().collect())
}
