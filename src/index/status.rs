//! The mirror of statuses, one HASH per image: per model `j:` its job as `id event state JSON`, which yields only to a
//! greater (id, event), and `r:` its newest success as `job 0 JSON`, up to [`RESULT_BYTES_MAX`]; and a field `u:` per
//! entitled account.
//!
//! Transitions change only keys that exist and leave a mark on a missing one; only a refill from PostgreSQL
//! makes a key, and one that meets a mark or unfinished work is short-lived. So nothing stale lives long.

use std::collections::HashMap;
use std::sync::LazyLock;

use redis::{Script, ScriptInvocation};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Index, Live, PIPELINE_MAX, keys};
use crate::domain::image::ContentMd5;
use crate::domain::job::{ImageStatus, JobState, JobStatus, JobView, ResultView, Success};

/// The largest result mirrored, in bytes; a larger one is read from PostgreSQL.
pub const RESULT_BYTES_MAX: usize = 64 * 1024;
/// How long a mark, and a status with unfinished work, live, in seconds.
const SHORT_S: u64 = 15;
/// How long a finished status lives, in seconds.
const LONG_S: u64 = 24 * 60 * 60;

/// Puts one field unless what is there is of a greater (job, event).
macro_rules! put_newer {
    () => {
        "local function put_newer(key, field, value)
           local job, event = string.match(value, '^(%S+) (%d+) ')
           local old = redis.call('HGET', key, field)
           if old then
             local old_job, old_event = string.match(old, '^(%S+) (%d+) ')
             if old_job > job or (old_job == job and tonumber(old_event) > tonumber(event)) then return end
           end
           redis.call('HSET', key, field, value)
         end "
    };
}

/// ARGV: short life, then field and value pairs.
static CHANGE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        put_newer!(),
        "
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('SET', KEYS[2], '1', 'EX', ARGV[1]) return 0 end
for i = 2, #ARGV, 2 do put_newer(KEYS[1], ARGV[i], ARGV[i + 1]) end
return 1"
    ))
});

/// ARGV: short life, long life, whether finished, then field and value pairs.
static FILL: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        put_newer!(),
        "
local was = redis.call('TTL', KEYS[1])
for i = 4, #ARGV, 2 do
  if string.sub(ARGV[i], 1, 2) == 'u:' then redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
  else put_newer(KEYS[1], ARGV[i], ARGV[i + 1]) end
end
local life = tonumber(ARGV[2])
local marked = redis.call('EXISTS', KEYS[2]) == 1
if ARGV[3] == '0' or marked then life = tonumber(ARGV[1]) end
-- What was read may be older than the change that left the mark.
if marked and was == -2 then life = 2 end
if was > 0 and was < life then life = was end
redis.call('EXPIRE', KEYS[1], life)
return 1"
    ))
});

/// ARGV: short life.
static MARK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
redis.call('SET', KEYS[2], '1', 'EX', ARGV[1])
if redis.call('TTL', KEYS[1]) > tonumber(ARGV[1]) then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return 1",
    )
});

/// ARGV: short life.
static SHORTEN: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
if redis.call('TTL', KEYS[1]) > tonumber(ARGV[1]) then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return 1",
    )
});

/// A mirrored status.
#[derive(Debug, Default)]
pub struct Mirrored {
    pub status: ImageStatus,
    pub accounts: Vec<Uuid>,
    /// A result was too large to be mirrored.
    pub partial: bool,
}

/// A whole status as the mirror takes it.
#[derive(Debug)]
pub struct Fill<'a> {
    pub md5: ContentMd5,
    pub status: &'a ImageStatus,
    pub accounts: &'a [Uuid],
    /// Nothing of it is expected to change.
    pub finished: bool,
}

/// One transition as the mirror takes it.
#[derive(Debug)]
pub struct Change<'a> {
    pub md5: ContentMd5,
    pub model: &'a str,
    pub job: &'a JobStatus,
    pub success: Option<Success>,
}

impl Index {
    /// Reads mirrored statuses; a key that is not there is a miss, and so is everything while Redis is away.
    pub async fn read_statuses(&self, images: &[ContentMd5]) -> HashMap<ContentMd5, Mirrored> {
        let mut found = HashMap::new();
        for images in images.chunks(PIPELINE_MAX) {
            found.extend(self.read_some(images).await);
        }
        found
    }

    async fn read_some(&self, images: &[ContentMd5]) -> HashMap<ContentMd5, Mirrored> {
        let replies = self
            .run(async |live| {
                let mut pipe = redis::pipe();
                for md5 in images {
                    pipe.hgetall(keys::status(&self.namespace, *md5, &live.epoch));
                }
                pipe.query_async::<Vec<Vec<(String, String)>>>(&mut live.connection).await
            })
            .await
            .unwrap_or_default();
        images
            .iter()
            .zip(replies)
            .filter(|(_, fields)| !fields.is_empty())
            .filter_map(|(md5, fields)| Some((*md5, unpack(fields)?)))
            .collect()
    }

    /// Fills statuses from PostgreSQL.
    pub async fn fill_statuses(&self, fills: &[Fill<'_>]) {
        for fills in fills.chunks(PIPELINE_MAX) {
            let calls = |live: &Live| fills.iter().map(|fill| self.fill(fill, live)).collect();
            self.run_scripts(&FILL, calls).await;
        }
    }

    fn fill(&self, fill: &Fill<'_>, live: &Live) -> ScriptInvocation<'static> {
        let mut call = FILL.prepare_invoke();
        call.key(keys::status(&self.namespace, fill.md5, &live.epoch));
        call.key(keys::mark(&self.namespace, fill.md5, &live.epoch));
        call.arg(SHORT_S).arg(LONG_S).arg(u8::from(fill.finished));
        for account in fill.accounts {
            call.arg(format!("u:{account}")).arg("1");
        }
        for (model, job) in &fill.status.jobs {
            call.arg(format!("j:{model}")).arg(pack_job(job.id, job.event, job.state, job.json.get()));
        }
        for (model, success) in &fill.status.results {
            call.arg(format!("r:{model}")).arg(pack_success(success.job, success.json.get()));
        }
        call
    }

    /// Mirrors transitions, those of one image together.
    pub async fn change_statuses(&self, changes: &[Change<'_>]) {
        let mut by_image: HashMap<ContentMd5, Vec<&Change<'_>>> = HashMap::new();
        for change in changes {
            by_image.entry(change.md5).or_default().push(change);
        }
        let images: Vec<(ContentMd5, Vec<&Change<'_>>)> = by_image.into_iter().collect();
        for images in images.chunks(PIPELINE_MAX) {
            let calls = |live: &Live| images.iter().map(|(md5, changes)| self.change(*md5, changes, live)).collect();
            if self.run_scripts(&CHANGE, calls).await.is_none() {
                self.miss(images.iter().map(|(md5, _)| *md5));
            }
        }
    }

    fn change(&self, md5: ContentMd5, changes: &[&Change<'_>], live: &Live) -> ScriptInvocation<'static> {
        let mut call = CHANGE.prepare_invoke();
        call.key(keys::status(&self.namespace, md5, &live.epoch));
        call.key(keys::mark(&self.namespace, md5, &live.epoch)).arg(SHORT_S);
        for change in changes {
            let job = change.job;
            call.arg(format!("j:{}", change.model)).arg(pack_job(job.id, job.event, job.state, &job.to_json()));
            if let Some(success) = &change.success {
                call.arg(format!("r:{}", change.model)).arg(pack_success(success.job, &success.to_json()));
            }
        }
        call
    }

    /// Runs calls of one script in one pipeline, giving the script to a Redis that does not know it.
    async fn run_scripts(
        &self,
        script: &Script,
        calls: impl Fn(&Live) -> Vec<ScriptInvocation<'static>>,
    ) -> Option<()> {
        self.run(async |live| {
            let calls = calls(live);
            let send = async |live: &mut Live, load: bool| {
                let mut pipe = redis::pipe();
                if load {
                    pipe.load_script(script).ignore();
                }
                for call in &calls {
                    pipe.invoke_script(call).ignore();
                }
                pipe.query_async::<()>(&mut live.connection).await
            };
            match send(live, false).await {
                Err(error) if error.kind() == redis::ErrorKind::Server(redis::ServerErrorKind::NoScript) => {
                    send(live, true).await
                }
                done => done,
            }
        })
        .await
    }

    /// Shortens the life of the mirrored statuses of images with live jobs, so that a lost transition shows soon.
    pub async fn shorten_statuses(&self, images: &[ContentMd5]) {
        for images in images.chunks(PIPELINE_MAX) {
            let call = |md5: &ContentMd5, live: &Live| {
                let mut call = SHORTEN.prepare_invoke();
                call.key(keys::status(&self.namespace, *md5, &live.epoch)).arg(SHORT_S);
                call
            };
            self.run_scripts(&SHORTEN, |live| images.iter().map(|md5| call(md5, live)).collect()).await;
        }
    }

    /// Forgets the statuses of images whose rows or results are gone.
    pub async fn drop_statuses(&self, images: &[ContentMd5]) {
        for images in images.chunks(PIPELINE_MAX) {
            let dropped = self
                .run(async |live| {
                    let mut pipe = redis::pipe();
                    for md5 in images {
                        pipe.del(keys::status(&self.namespace, *md5, &live.epoch)).ignore();
                    }
                    pipe.query_async::<()>(&mut live.connection).await
                })
                .await;
            if dropped.is_none() {
                self.miss(images.iter().copied());
            }
        }
    }

    /// Marks images whose status is about to change, and shortens the life of what is mirrored of them.
    pub async fn mark_statuses(&self, images: &[ContentMd5]) {
        for images in images.chunks(PIPELINE_MAX) {
            let call = |md5: &ContentMd5, live: &Live| {
                let mut call = MARK.prepare_invoke();
                call.key(keys::status(&self.namespace, *md5, &live.epoch));
                call.key(keys::mark(&self.namespace, *md5, &live.epoch)).arg(SHORT_S);
                call
            };
            let marked = self.run_scripts(&MARK, |live| images.iter().map(|md5| call(md5, live)).collect()).await;
            if marked.is_none() {
                self.miss(images.iter().copied());
            }
        }
    }
}

fn pack_job(id: Uuid, event: i64, state: JobState, json: &str) -> String {
    format!("{id} {event} {} {json}", state.as_str())
}

/// A result too large to mirror leaves `-` in its place.
fn pack_success(job: Uuid, json: &str) -> String {
    let json = if json.len() > RESULT_BYTES_MAX { "-" } else { json };
    format!("{job} 0 {json}")
}

/// Nothing when it is not as this version packs it.
fn unpack(fields: Vec<(String, String)>) -> Option<Mirrored> {
    let mut mirrored = Mirrored::default();
    for (field, value) in fields {
        let (kind, name) = field.split_once(':')?;
        match kind {
            "u" => mirrored.accounts.push(Uuid::parse_str(name).ok()?),
            "j" => drop(mirrored.status.jobs.insert(name.to_owned(), unpack_job(&value)?)),
            "r" if value.ends_with(" -") => mirrored.partial = true,
            "r" => drop(mirrored.status.results.insert(name.to_owned(), unpack_success(&value)?)),
            _ => return None,
        }
    }
    Some(mirrored)
}

fn unpack_job(value: &str) -> Option<JobView> {
    let mut parts = value.splitn(4, ' ');
    let id = Uuid::parse_str(parts.next()?).ok()?;
    let event = parts.next()?.parse().ok()?;
    let state = JobState::parse(parts.next()?)?;
    Some(JobView { id, event, state, json: raw(parts.next()?)? })
}

fn unpack_success(value: &str) -> Option<ResultView> {
    let mut parts = value.splitn(3, ' ');
    let job = Uuid::parse_str(parts.next()?).ok()?;
    Some(ResultView { job, json: raw(parts.nth(1)?)? })
}

fn raw(json: &str) -> Option<Box<RawValue>> {
    RawValue::from_string(json.to_owned()).ok()
}
