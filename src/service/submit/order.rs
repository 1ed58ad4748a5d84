//! A verified request on its way into the database, and what became of it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use uuid::Uuid;

use super::ask::AnsweringJob;
use super::plan::Plan;
use crate::domain::image::ContentMd5;
use crate::store::images::{ImageRecord, NewImage, StoredImage};

/// A request that is verified and whose bytes are durable.
#[derive(Clone)]
pub struct Order {
    pub(super) account: Uuid,
    /// Where its images go.
    pub(super) case: Uuid,
    pub(super) submission: Option<Uuid>,
    pub(super) rerun: bool,
    /// Refuse all if one image is.
    pub(super) strict: bool,
    /// Images of the request that were refused before it came here.
    pub(super) refused: usize,
    pub(super) plan: Arc<Plan>,
    pub(super) images: Arc<Images>,
}

/// The images of an order, in the order of the request.
pub(super) enum Images {
    /// Of those that these cases hold; of all, when none are given.
    Stored {
        visible_to: Option<Vec<Uuid>>,
        md5s: Vec<ContentMd5>,
    },
    Uploaded(Vec<Upload>),
}

impl Images {
    /// The cases of which one must hold what is named by its hash; nothing where all is seen, or nothing named.
    pub(super) fn visible_to(&self) -> Option<&[Uuid]> {
        match self {
            Self::Stored { visible_to, .. } => visible_to.as_deref(),
            Self::Uploaded(_) => None,
        }
    }
}

/// An uploaded image under the name it came with.
pub(super) struct Upload {
    pub(super) name: String,
    pub(super) row: NewImage,
}

/// What became of an order.
pub struct Committed {
    /// The submission; nothing when the order was refused for its images, and left nothing behind.
    pub(super) submission: Option<Uuid>,
    /// What became of each image, in the order of the request.
    pub(super) images: Vec<Fate>,
}

/// What became of an image.
pub(super) enum Fate {
    /// It was stored before.
    Known(ImageRecord, Vec<AnsweringJob>),
    /// It was uploaded; its row is that of this blob. The case may have held it before.
    Stored { blob: Uuid, titled: bool, jobs: Vec<AnsweringJob> },
    /// No case of the caller's holds such an image.
    Missing,
    /// The image of this id has the same MD5 and other bytes.
    Collided(i64),
}

impl Order {
    pub(super) fn weight(&self) -> usize {
        self.md5s().count() * self.plan.models.len()
    }

    pub(super) fn md5s(&self) -> Box<dyn Iterator<Item = ContentMd5> + '_> {
        match &*self.images {
            Images::Stored { md5s, .. } => Box::new(md5s.iter().copied()),
            Images::Uploaded(uploads) => Box::new(uploads.iter().map(|upload| upload.row.md5)),
        }
    }

    /// Orders for one image, or under one submission, take turns: each sees what the other did.
    pub(super) fn keys(&self) -> Vec<u64> {
        let hash = |of: &dyn Fn(&mut DefaultHasher)| {
            let mut hasher = DefaultHasher::new();
            of(&mut hasher);
            hasher.finish()
        };
        let images = self.md5s().map(|md5| hash(&|hasher| md5.hash(hasher)));
        images.chain(self.submission.map(|id| hash(&|hasher| id.hash(hasher)))).collect()
    }
}

/// An image of an order, as the database has it.
pub(super) enum Found {
    /// It was stored before, and perhaps held by the case.
    Known {
        image: ImageRecord,
        held: bool,
    },
    Stored(StoredImage),
    Missing,
    Collided(i64),
}

impl Found {
    /// Whether it was stored just now.
    pub(super) const fn is_new(&self) -> bool {
        matches!(self, Self::Stored(image) if image.new)
    }

    /// Its id, if it can have jobs.
    pub(super) const fn id(&self) -> Option<i64> {
        match self {
            Self::Known { image, .. } => Some(image.known.id),
            Self::Stored(image) => Some(image.id),
            Self::Missing | Self::Collided(_) => None,
        }
    }
}
