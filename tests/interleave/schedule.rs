//! One order of two use cases' steps after the other: a walk through the tree of choices.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};
use tokio::task::JoinHandle;

use super::Pair;
use super::cases::{self, Report};
use super::gate::{Gate, Pool};
use super::world::{Facts, World};
use crate::kit::servers;

/// How soon it is asked whether a step waits for a lock: most do not. Each time it is asked again after twice as long.
const ASK_AFTER: Duration = Duration::from_millis(1);

/// A choice between the two sides: the one taken, and whether the other is still to be tried.
pub struct Choice {
    side: usize,
    other_left: bool,
}

/// Goes on to the next order; nothing when all were played.
pub fn next(path: &mut Vec<Choice>) -> bool {
    while let Some(last) = path.last_mut() {
        if last.other_left {
            *last = Choice { side: 1 - last.side, other_left: false };
            return true;
        }
        path.pop();
    }
    false
}

/// Both sides' connections like either pool's, and one to look on.
pub struct Stage {
    sides: [[Line; 2]; 2],
    pub observer: PgConnection,
}

/// A connection behind its gate; the connection is away while a use case runs.
struct Line {
    gate: Gate,
    db: Option<PgConnection>,
}

type Running = JoinHandle<(PgConnection, darkroom::service::Result<Report>)>;

/// Where a side stands.
enum Standing {
    /// Its next step waits for leave.
    Ready,
    /// Its step waits for a lock of the other.
    Blocked,
    Done(Box<darkroom::service::Result<Report>>),
}

/// How an order went.
pub struct Played {
    pub wrong: Vec<String>,
    pub blocked: bool,
    pub story: String,
}

impl Stage {
    pub async fn open(world: &World) -> Self {
        let url = servers::as_superuser(&world.app.settings.database.database_url.0);
        let options: PgConnectOptions = url.parse().expect("a URL");
        let socket = options.get_socket().expect("a private PostgreSQL").join(".s.PGSQL.5432");
        let line = async |pool| {
            let (gate, db) = Gate::open(&options, socket.clone(), pool).await.expect("a connection behind a gate");
            Line { gate, db: Some(db) }
        };
        let side = async || [line(Pool::Common).await, line(Pool::Hot).await];
        let observer = options.clone().options([("synchronous_commit", "off")]).connect().await.expect("a connection");
        Self { sides: [side().await, side().await], observer }
    }

    pub async fn close(self) {
        for line in self.sides.into_iter().flatten() {
            if let Some(db) = line.db {
                // Whatever it says, it is over.
                let _ = db.close().await;
            }
        }
    }

    /// Plays the order that begins with this path, and completes the path.
    pub async fn play(&mut self, world: &World, pair: Pair, path: &mut Vec<Choice>) -> Played {
        world.set_back(&mut self.observer, pair).await;
        let mut played = Played { wrong: Vec::new(), blocked: false, story: String::new() };
        let mut said = [String::new(), String::new()];
        // One after the other, up to the first step of each: two ticks of one name do not race for it.
        let mut running = [None, None];
        let mut standing = [Standing::Ready, Standing::Ready];
        for side in 0..2 {
            running[side] = Some(self.start(side, pair, &world.facts));
            standing[side] = self.settle(side, pair, &mut running, &mut said, false).await;
        }
        for depth in 0.. {
            let ready: Vec<usize> = (0..2).filter(|side| matches!(standing[*side], Standing::Ready)).collect();
            let Some(first) = ready.first() else { break };
            if path.len() == depth {
                path.push(Choice { side: *first, other_left: ready.len() > 1 });
            }
            let (side, other) = (path[depth].side, 1 - path[depth].side);
            assert!(ready.contains(&side), "the same order goes another way: {}", played.story);
            played.story.push_str(&format!("  {}: {}", ["A", "B"][side], said[side]));
            self.line(side, pair).gate.let_through();
            let other_blocked = matches!(standing[other], Standing::Blocked);
            standing[side] = self.settle(side, pair, &mut running, &mut said, other_blocked).await;
            if matches!(standing[side], Standing::Blocked) {
                played.blocked = true;
                played.story.push_str(" … waits");
            }
            if other_blocked {
                standing[other] = self.settle(other, pair, &mut running, &mut said, false).await;
            }
            played.story.push('\n');
        }
        let mut reports = [Report::default(), Report::default()];
        for (side, standing) in standing.into_iter().enumerate() {
            match standing {
                Standing::Done(done) => match *done {
                    Ok(report) => reports[side] = report,
                    Err(error) => played.wrong.push(format!("{} failed: {error:?}", ["A", "B"][side])),
                },
                Standing::Ready | Standing::Blocked => played.wrong.push(format!("{} never ended", ["A", "B"][side])),
            }
        }
        played.wrong.extend(world.judge(&mut self.observer, pair, &reports).await);
        played
    }

    fn line(&mut self, side: usize, pair: Pair) -> &mut Line {
        &mut self.sides[side][usize::from(pair[side].pool() == Pool::Hot)]
    }

    fn start(&mut self, side: usize, pair: Pair, facts: &Arc<Facts>) -> Running {
        let mut db = self.line(side, pair).db.take().expect("an idle connection");
        let facts = Arc::clone(facts);
        tokio::spawn(async move {
            let done = cases::run(pair[side], &mut db, &facts).await;
            if done.is_err() {
                // A transaction that was left is rolled back with the next word.
                let _ = db.ping().await;
            }
            (db, done)
        })
    }

    /// Waits until a side is ready for its next step, has ended, or waits for the other. While the other waits as well, PostgreSQL
    /// is about to end one of them.
    async fn settle(
        &mut self,
        side: usize,
        pair: Pair,
        running: &mut [Option<Running>; 2],
        said: &mut [String; 2],
        other_blocked: bool,
    ) -> Standing {
        let (pid, other) = (self.line(side, pair).gate.pid, self.line(1 - side, pair).gate.pid);
        let mut ask_after = ASK_AFTER;
        loop {
            let gate = &mut self.line(side, pair).gate;
            tokio::select! {
                biased;
                words = gate.waiting.recv() => {
                    said[side] = words.expect("the gate's own task");
                    return Standing::Ready;
                }
                done = running[side].as_mut().expect("it runs") => {
                    let (db, done) = done.expect("a use case");
                    self.line(side, pair).db = Some(db);
                    return Standing::Done(Box::new(done));
                }
                () = tokio::time::sleep(ask_after) => ask_after *= 2,
            }
            let blockers: Vec<i32> = sqlx::query_scalar("SELECT pg_blocking_pids($1)")
                .bind(pid)
                .fetch_one(&mut self.observer)
                .await
                .expect("who holds it up");
            if blockers.contains(&other) && !other_blocked {
                return Standing::Blocked;
            }
        }
    }
}
