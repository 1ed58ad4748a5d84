//! How fast photographs come in.

use std::io::Write;
use std::time::Instant;

use axum::http::Method;
use bytes::Bytes;
use futures_util::future::try_join_all;
use md5::{Digest, Md5};
use rand::RngCore;
use sha2::Sha256;

use crate::report::{Row, Target, median};
use crate::site::{Installation, Server, Site};
use crate::wire::Wire;

const PHOTO_BYTES: usize = 4 * 1024 * 1024;
const CONNECTIONS: usize = 4;
/// The bare loop's.
const THREADS: usize = 2;
/// Photographs of one sample.
const PHOTOS: usize = 64;
/// Samples of each side, taken in turns.
const ROUNDS: usize = 3;
const BOUNDARY: &str = "a-boundary-that-no-photograph-holds";

/// Uploads over HTTP against hashing, writing and syncing the same bytes in a loop.
pub async fn uploads(site: &Site) -> anyhow::Result<Vec<Row>> {
    let on = site.install("d").await?;
    let server = site.serve(&on).await?;
    let mut photo = Photo::new();
    upload(&on, &server, &mut photo, CONNECTIONS * 2).await?;
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(upload(&on, &server, &mut photo, PHOTOS).await?);
        bare.push(bare_loop(site, &mut photo)?);
    }
    let what = "uploads of 4 MiB photographs, 4 connections";
    let loop_ = ("MD5, SHA-256, write and fsync of the same bytes by two threads", median(&bare));
    Ok(vec![Row::ratio("d", what, "photographs/s", median(&ours), loop_, Target::AtLeast(0.7))])
}

/// A JPEG of noise: as incompressible as a photograph, and different every time.
struct Photo {
    bytes: Vec<u8>,
}

impl Photo {
    fn new() -> Self {
        let mut bytes = vec![
            0xFF, 0xD8, 0xFF, 0xC0, 0, 11, 8, 0x0B, 0xD0, 0x0F, 0xC0, 1, 1, 0x11, 0, 0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63,
            0,
        ];
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

    fn form(&mut self) -> Bytes {
        let mut body = Vec::with_capacity(PHOTO_BYTES + 1024);
        let head = format!(
            "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"models\"\r\n\r\nfaces\r\n\
             --{BOUNDARY}\r\ncontent-disposition: form-data; name=\"images\"; filename=\"a.jpg\"\r\ncontent-type: image/jpeg\r\n\r\n"
        );
        body.extend(head.as_bytes());
        body.extend(self.next());
        body.extend(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
        body.into()
    }
}

async fn upload(on: &Installation, server: &Server, photo: &mut Photo, photos: usize) -> anyhow::Result<f64> {
    let forms: Vec<Bytes> = (0..photos).map(|_| photo.form()).collect();
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    let mut wires = Vec::new();
    for _ in 0..CONNECTIONS {
        wires.push(Wire::open(&server.address).await?);
    }
    let started = Instant::now();
    try_join_all(wires.into_iter().zip(forms.chunks(photos / CONNECTIONS)).map(|(mut wire, forms)| {
        let kind = kind.clone();
        async move {
            for form in forms {
                wire.call(Method::POST, "/predict", Some(&on.user), Some(&kind), form.clone()).await?;
            }
            anyhow::Ok(())
        }
    }))
    .await?;
    Ok(photos as f64 / started.elapsed().as_secs_f64())
}

fn bare_loop(site: &Site, photo: &mut Photo) -> anyhow::Result<f64> {
    let photos: Vec<Vec<u8>> = (0..PHOTOS).map(|_| photo.next().to_vec()).collect();
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
        let shares = photos.chunks(PHOTOS / THREADS).enumerate();
        let threads: Vec<_> = shares.map(|(thread, photos)| scope.spawn(move || store(photos, thread))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?)
    })?;
    let rate = PHOTOS as f64 / started.elapsed().as_secs_f64();
    std::fs::remove_dir_all(folder)?;
    Ok(rate)
}
