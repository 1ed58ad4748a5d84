//! The mirror of statuses, one HASH per image, which is only ever filled from PostgreSQL and taken away whole: after the
//! COMMIT of a transition its images' statuses go, and with them the tokens of refills that read before it.
//!
//! These are the leases of Nishtala et al., "Scaling Memcache at Facebook" (NSDI 2013), section 3.2.1: a look-up that
//! missed puts a token first, then reads, and fills only while that very token stands. So what was read before a
//! transition never comes back after it. A transition that could not say so, because its server died, shows late: an
//! unfinished status lives [`SHORT_S`], and what makes a finished one unfinished leaves a mark before its transaction.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};

use redis::Script;
use redis::aio::MultiplexedConnection;
use redis::{RedisError, ScriptInvocation};
use uuid::Uuid;

pub use super::pack::{Fill, Mirrored};
use super::seal::FieldPlace;
use super::{Index, Live, PIPELINE_MAX, keys, pack};
use crate::domain::image::ContentMd5;

/// How long a status lives that has unfinished work or met a mark, in seconds.
const SHORT_S: i64 = 15;
/// How long a finished status lives, in seconds.
const LONG_S: i64 = 24 * 60 * 60;
/// How long a refill may take from its token to its fill, in seconds.
const TOKEN_S: u64 = 5;
/// How long a mark lives, in seconds: longer than a transaction may go on after the server gave it up (4 s for the call,
/// 10 s for its last statement) and a refill that read before its COMMIT may take.
const MARK_S: u64 = 60;
/// Images whose keys are taken away with one command: some 2 ms of a Redis, so that nobody else waits long.
const DROPPED_AT_ONCE: usize = 1_000;

/// KEYS: status, token, mark. ARGV: token, life without and with a mark, then field and value pairs. It may fill over what another
/// filled: a whole answer of then must not stay beside newer parts.
static FILL: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2])
redis.call('HDEL', KEYS[1], 'a:')
for i = 4, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('EXPIRE', KEYS[1], ARGV[2 + redis.call('EXISTS', KEYS[3])])
return 1",
    )
});

/// The whole answer to a look-up, as JSON.
#[derive(Debug, Clone)]
pub struct ReadyAnswer {
    pub json: String,
    /// Whether one of the cases that were asked for holds the image.
    pub entitled: bool,
}

/// The right to fill the statuses of these images from what is read after it was got.
#[derive(Debug)]
pub struct Refill {
    token: String,
    images: HashSet<ContentMd5>,
}

impl Index {
    /// Reads mirrored statuses, and whether one of these cases, which are in order, holds each image. A key that is not there is a miss, so
    /// is one that was not sealed here or is behind what was read from PostgreSQL of late, and so is everything while Redis is away.
    pub async fn read_statuses(&self, images: &[ContentMd5], cases: &[Uuid]) -> HashMap<ContentMd5, Mirrored> {
        let mut found = HashMap::new();
        for images in images.chunks(PIPELINE_MAX) {
            let asked = images.iter().map(|md5| (*md5, cases));
            let replies = self.read_sealed(asked, pack::STATUS).await.unwrap_or_default();
            for (md5, (entitled, status)) in images.iter().zip(replies) {
                if let Some(mirrored) = status.and_then(|status| pack::unpack(&status, entitled)) {
                    found.insert(*md5, mirrored);
                }
            }
        }
        let floor = self.floor();
        found.retain(|md5, mirrored| !floor.is_above(*md5, &mirrored.status));
        found
    }

    /// Reads the whole answers to look-ups for members of cases, in the order asked. Nothing where none is mirrored, or where anything was
    /// read of the image from PostgreSQL of late that is not.
    pub async fn read_answers(&self, asked: &[(ContentMd5, Arc<[Uuid]>)]) -> Vec<Option<ReadyAnswer>> {
        let each = asked.iter().map(|(md5, cases)| (*md5, &**cases));
        let Some(read) = self.read_sealed(each, pack::ANSWER).await else {
            return vec![None; asked.len()];
        };
        let floor = self.floor();
        let mut answers = Vec::with_capacity(asked.len());
        for ((md5, _), (entitled, json)) in asked.iter().zip(read) {
            let json = json.filter(|_| !floor.knows(*md5));
            answers.push(json.map(|json| ReadyAnswer { json, entitled }));
        }
        answers
    }

    /// Reads one field of each image, and whether one of its cases holds it, as far as they were sealed here.
    async fn read_sealed<'a>(
        &self,
        asked: impl Iterator<Item = (ContentMd5, &'a [Uuid])>,
        field: &str,
    ) -> Option<Vec<(bool, Option<String>)>> {
        let asked: Vec<(ContentMd5, &[Uuid])> = asked.collect();
        self.run(async |live| {
            let mut pipe = redis::pipe();
            for (md5, _) in &asked {
                pipe.hmget(keys::status(&self.namespace, *md5, &live.epoch), &[field, pack::CASES]);
            }
            let read = pipe.query_async::<Vec<[Option<String>; 2]>>(&mut live.connection).await?;
            let opened = asked.iter().zip(read).map(|((md5, cases), [value, held])| {
                let open = |field: &str, sealed: Option<String>| {
                    self.open(FieldPlace { md5: *md5, epoch: &live.epoch, field }, sealed?)
                };
                let held = open(pack::CASES, held).is_some_and(|held| pack::is_held(&held, cases));
                (held, open(field, value))
            });
            Ok(opened.collect())
        })
        .await
    }

    /// The value under a seal; one of another's is counted.
    fn open(&self, place: FieldPlace<'_>, sealed: String) -> Option<String> {
        let value = self.seal.open(place, &sealed).map(str::to_owned);
        if value.is_none() {
            self.forged.fetch_add(1, Ordering::Relaxed);
        }
        value
    }

    /// Asks for the right to fill these statuses; those that somebody else fills are not in it.
    pub async fn begin_refill(&self, images: &[ContentMd5]) -> Refill {
        let mut refill = Refill { token: Uuid::new_v4().simple().to_string(), images: HashSet::new() };
        for images in images.chunks(PIPELINE_MAX) {
            let got = self
                .run(async |live| {
                    let mut pipe = redis::pipe();
                    for md5 in images {
                        let key = keys::token(&self.namespace, *md5, &live.epoch);
                        pipe.cmd("SET").arg(key).arg(&refill.token).arg("NX").arg("EX").arg(TOKEN_S);
                    }
                    pipe.query_async::<Vec<bool>>(&mut live.connection).await
                })
                .await
                .unwrap_or_default();
            refill.images.extend(images.iter().zip(got).filter_map(|(md5, got)| got.then_some(*md5)));
        }
        refill
    }

    /// Fills statuses from PostgreSQL, those of the refill whose tokens still stand; the others are noted, so that no
    /// look-up is answered from what was mirrored before.
    pub async fn end_refill(&self, refill: &Refill, read: &[Fill<'_>]) {
        let mut filled = HashSet::new();
        let fills: Vec<&Fill<'_>> = read.iter().filter(|fill| refill.images.contains(&fill.md5)).collect();
        for fills in fills.chunks(PIPELINE_MAX) {
            let done = self.run(async |live| self.fill(live, &refill.token, fills).await).await.unwrap_or_default();
            filled.extend(fills.iter().zip(done).filter_map(|(fill, done)| done.then_some(fill.md5)));
        }
        let mut floor = self.floor();
        for fill in read.iter().filter(|fill| !filled.contains(&fill.md5)) {
            floor.note(fill.md5, fill.status);
        }
    }

    /// Runs the script for each in one pipeline, giving it to a Redis that does not know it.
    async fn fill(&self, live: &mut Live, token: &str, fills: &[&Fill<'_>]) -> Result<Vec<bool>, RedisError> {
        let calls: Vec<_> = fills.iter().map(|fill| self.call_fill(&live.epoch, token, fill)).collect();
        let mut pipe = redis::pipe();
        for call in &calls {
            pipe.invoke_script(call);
        }
        match pipe.query_async(&mut live.connection).await {
            Err(error) if error.kind() == redis::ErrorKind::Server(redis::ServerErrorKind::NoScript) => {
                let mut load = redis::pipe();
                load.load_script(&FILL).ignore().query_async::<()>(&mut live.connection).await?;
                pipe.query_async(&mut live.connection).await
            }
            done => done,
        }
    }

    fn call_fill(&self, epoch: &str, token: &str, fill: &Fill<'_>) -> ScriptInvocation<'static> {
        let mut call = FILL.prepare_invoke();
        call.key(keys::status(&self.namespace, fill.md5, epoch));
        call.key(keys::token(&self.namespace, fill.md5, epoch));
        call.key(keys::mark(&self.namespace, fill.md5, epoch));
        call.arg(token).arg(if fill.finished && !self.is_cautious() { LONG_S } else { SHORT_S }).arg(SHORT_S);
        for (field, value) in pack::pack(fill) {
            let sealed = self.seal.close(FieldPlace { md5: fill.md5, epoch, field: &field }, &value);
            call.arg(field).arg(sealed);
        }
        call
    }

    /// Takes away the statuses of images whose jobs or results changed, and the tokens of those who read them before.
    /// What cannot be taken away now is owed, and the connection is given up until it is.
    pub async fn drop_statuses(&self, images: &[ContentMd5]) {
        for images in images.chunks(DROPPED_AT_ONCE) {
            let dropped = self
                .run(async |live| self.unlink(&live.epoch, images).query_async::<()>(&mut live.connection).await)
                .await;
            if dropped.is_none() {
                self.owe(images);
            }
        }
    }

    fn unlink(&self, epoch: &str, images: &[ContentMd5]) -> redis::Cmd {
        let mut unlink = redis::cmd("UNLINK");
        for md5 in images {
            unlink.arg(keys::status(&self.namespace, *md5, epoch)).arg(keys::token(&self.namespace, *md5, epoch));
        }
        unlink
    }

    /// Marks images whose finished statuses are about to change, before the transaction, and takes those away; answers whether.
    /// What cannot be is owed.
    pub async fn mark_statuses(&self, images: &[ContentMd5]) -> bool {
        for some in images.chunks(PIPELINE_MAX) {
            if self.run(async |live| self.mark_in(&mut live.connection, &live.epoch, some).await).await.is_none() {
                self.owe(images);
                return false;
            }
        }
        true
    }

    /// The same over a connection of its own, after that in use was lost; answers the run and the epoch of what was marked, if Redis is
    /// still the one that it was and takes them.
    pub async fn mark_apart(&self, images: &[ContentMd5]) -> Option<(String, Arc<str>)> {
        let (run, epoch) = self.last()?;
        let (mut connection, _) = self.connect().await.ok().filter(|(_, found)| *found == run)?;
        self.mark_in(&mut connection, &epoch, images).await.ok()?;
        Some((run, epoch))
    }

    pub(super) async fn mark_in(
        &self,
        connection: &mut MultiplexedConnection,
        epoch: &str,
        images: &[ContentMd5],
    ) -> Result<(), RedisError> {
        for images in images.chunks(PIPELINE_MAX) {
            let mut pipe = redis::pipe();
            for md5 in images {
                pipe.set_ex(keys::mark(&self.namespace, *md5, epoch), 1, MARK_S).ignore();
            }
            pipe.add_command(self.unlink(epoch, images)).ignore();
            pipe.query_async::<()>(connection).await?;
        }
        Ok(())
    }

    /// Shortens the lives of the statuses of images with live jobs, so that a lost transition shows soon.
    pub async fn shorten_statuses(&self, images: &[ContentMd5]) {
        for images in images.chunks(PIPELINE_MAX) {
            self.run(async |live| {
                let mut pipe = redis::pipe();
                for md5 in images {
                    let key = keys::status(&self.namespace, *md5, &live.epoch);
                    pipe.cmd("EXPIRE").arg(key).arg(SHORT_S).arg("LT").ignore();
                }
                pipe.query_async::<()>(&mut live.connection).await
            })
            .await;
        }
    }
}
