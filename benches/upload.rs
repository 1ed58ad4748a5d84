//! How fast photographs come in, beside hashing, writing and syncing the same bytes in a loop.

use std::io::Write;
use std::time::Instant;

use bytes::Bytes;
use futures_util::future::try_join_all;
use md5::{Digest, Md5};
use rand::RngCore;
use sha2::Sha256;

use crate::costs::Parties;
use crate::installation::{Installation, Server};
use crate::kit::form::{CONTENT_TYPE, Form};
use crate::report::{Outcome, Row};
use crate::sample::{Done, Side};
use crate::site::Site;
use crate::wire::Wire;

const PHOTO_BYTES: usize = 4 * 1024 * 1024;
const CONNECTIONS: usize = 4;
/// The bare loop's.
const THREADS: usize = 2;
/// Photographs of one turn.
const PHOTOS: usize = 64;
const AT_LEAST: f64 = 0.85;

pub async fn measure(site: &Site) -> anyhow::Result<Outcome> {
    let on = Installation::new(site, "upload").await?;
    let server = on.serve(site).await?;
    let (mut photo, photos) = (Photo::new(), site.scaled(PHOTOS));
    upload(&on, &server, photo.forms(CONNECTIONS * 2)).await?;
    let (mut ours, mut bare) = (Side::new("ours"), Side::new("MD5, SHA-256, write and fsync by two threads"));
    for _ in site.turns() {
        let forms = photo.forms(photos);
        ours.turn(site, Parties::ours(site, &[&server])?, &on.name, upload(&on, &server, forms)).await?;
        let photos: Vec<Vec<u8>> = (0..photos).map(|_| photo.next().to_vec()).collect();
        bare.turn(site, Parties::ours(site, &[])?, &on.name, async { bare_loop(site, &photos) }).await?;
    }
    let row = Row::new("uploads of 4 MiB photographs, 4 connections", "photographs/s", ours.rate());
    let outcome = Outcome::new(vec![row.against(&bare.name, bare.rate()).at_least(AT_LEAST)], &[&ours, &bare]);
    drop(server);
    on.remove(site).await?;
    Ok(outcome)
}

/// A JPEG of noise: as incompressible as a photograph, and different every time.
struct Photo {
    bytes: Vec<u8>,
}

impl Photo {
    fn new() -> Self {
        // A start, a frame of 4048 × 3024 grey pixels, a scan.
        let mut bytes = vec![0xFF, 0xD8, 0xFF, 0xC0, 0, 11, 8, 0x0B, 0xD0, 0x0F, 0xC0, 1, 1, 0x11, 0];
        bytes.extend([0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0]);
        let header = bytes.len();
        bytes.resize(PHOTO_BYTES - 2, 0);
        rand::rng().fill_bytes(&mut bytes[header..]);
        // In entropy-coded data 0xFF would begin a marker.
        bytes[header..].iter_mut().for_each(|byte| *byte &= 0x7F);
        bytes.extend([0xFF, 0xD9]);
        Self { bytes }
    }

    fn next(&mut self) -> &[u8] {
        let middle = self.bytes.len() / 2;
        let salt = rand::random::<[u8; 16]>().map(|byte| byte & 0x7F);
        self.bytes[middle..middle + 16].copy_from_slice(&salt);
        &self.bytes
    }

    fn forms(&mut self, count: usize) -> Vec<Bytes> {
        (0..count).map(|_| Form::default().text("models", "faces").file("a.jpg", self.next()).finish().into()).collect()
    }
}

async fn upload(on: &Installation, server: &Server, forms: Vec<Bytes>) -> anyhow::Result<Done> {
    let mut wires = Vec::new();
    for _ in 0..CONNECTIONS {
        wires.push(Wire::open(&server.address).await?);
    }
    let started = Instant::now();
    try_join_all(wires.into_iter().zip(forms.chunks(forms.len().div_ceil(CONNECTIONS))).map(
        |(mut wire, forms)| async move {
            for form in forms {
                wire.insist("/predict", &on.user, CONTENT_TYPE, form.clone()).await?;
            }
            anyhow::Ok(())
        },
    ))
    .await?;
    Ok(Done { jobs: forms.len(), took: started.elapsed() })
}

fn bare_loop(site: &Site, photos: &[Vec<u8>]) -> anyhow::Result<Done> {
    let folder = site.folder().join("bare");
    std::fs::create_dir_all(&folder)?;
    let started = Instant::now();
    let store = |photos: &[Vec<u8>], thread: usize| {
        for (number, photo) in photos.iter().enumerate() {
            std::hint::black_box((Md5::digest(photo), Sha256::digest(photo)));
            let mut file = std::fs::File::create(folder.join(format!("{thread}-{number}")))?;
            file.write_all(photo)?;
            file.sync_all()?;
        }
        anyhow::Ok(())
    };
    let store = &store;
    std::thread::scope(|scope| {
        let shares = photos.chunks(photos.len().div_ceil(THREADS)).enumerate();
        let threads: Vec<_> = shares.map(|(thread, photos)| scope.spawn(move || store(photos, thread))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?)
    })?;
    let took = started.elapsed();
    std::fs::remove_dir_all(folder)?;
    Ok(Done { jobs: photos.len(), took })
}
