//! What a piece of work cost: processor time by party, WAL, and the share of the processors that was left idle.

use std::collections::HashMap;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;

use crate::installation::Server;
use crate::report::median;
use crate::site::Site;

/// What is spent per job; NaN never occurs, a party that takes no part spends nothing.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Costs {
    /// Microseconds of processor of all of PostgreSQL's processes, its WAL writer included.
    pub postgres_us: f64,
    pub server_us: f64,
    pub redis_us: f64,
    /// Of the clients that submit and work; for peers, which have no server, of their library as well.
    pub client_us: f64,
    pub wal_bytes: f64,
    /// Of all processors, over the whole turn.
    pub idle_percent: f64,
}

impl Costs {
    /// The median of each.
    pub fn median(of: &[Self]) -> Self {
        let each = |field: fn(&Self) -> f64| median(&of.iter().map(field).collect::<Vec<_>>());
        Self {
            postgres_us: each(|c| c.postgres_us),
            server_us: each(|c| c.server_us),
            redis_us: each(|c| c.redis_us),
            client_us: each(|c| c.client_us),
            wal_bytes: each(|c| c.wal_bytes),
            idle_percent: each(|c| c.idle_percent),
        }
    }
}

impl std::fmt::Display for Costs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { postgres_us, server_us, redis_us, client_us, wal_bytes, idle_percent } = self;
        write!(
            f,
            "µs of each: PostgreSQL {postgres_us:.1}, server {server_us:.1}, Redis {redis_us:.1}, client {client_us:.1}; \
             {wal_bytes:.0} B of WAL; {idle_percent:.0} % idle"
        )
    }
}

/// Whose processes take part.
pub struct Parties {
    /// Processes of the server.
    pub servers: Vec<u32>,
    /// The client, with its children; this program alone when it is none of its own.
    pub client: Option<u32>,
    /// The Redis that takes part.
    pub redis: u32,
}

impl Parties {
    /// This program as the client of these servers.
    pub fn ours(site: &Site, servers: &[&Server]) -> anyhow::Result<Self> {
        let servers = servers.iter().map(|server| server.pid()).collect();
        Ok(Self { servers, client: None, redis: site.redis.pid()?.parse()? })
    }
}

/// Everything that was used up to one instant.
pub struct Used {
    server_s: f64,
    postgres_s: f64,
    redis_s: f64,
    client_s: f64,
    wal_bytes: f64,
    /// Idle and all time of all processors, in ticks.
    idle: f64,
    all: f64,
}

impl Used {
    pub async fn now(site: &Site, parties: &Parties) -> anyhow::Result<Self> {
        let wal_bytes = wal_bytes(&site.admin).await?;
        let processes = processes()?;
        let alone = |pid: u32| processes.get(&pid).map_or(0.0, |p| p.own_s);
        let (idle, all) = ticks()?;
        Ok(Self {
            server_s: parties.servers.iter().map(|pid| alone(*pid)).sum(),
            postgres_s: with_children(&processes, site.postgres.pid()?.parse()?),
            redis_s: alone(parties.redis),
            client_s: parties.client.map_or_else(|| alone(std::process::id()), |pid| with_children(&processes, pid)),
            wal_bytes,
            idle,
            all,
        })
    }

    pub fn since(&self, before: &Self, jobs: usize) -> Costs {
        let us = |now: f64, then: f64| (now - then) * 1e6 / jobs as f64;
        Costs {
            postgres_us: us(self.postgres_s, before.postgres_s),
            server_us: us(self.server_s, before.server_s),
            redis_us: us(self.redis_s, before.redis_s),
            client_us: us(self.client_s, before.client_s),
            wal_bytes: (self.wal_bytes - before.wal_bytes) / jobs as f64,
            idle_percent: 100.0 * (self.idle - before.idle) / (self.all - before.all).max(1.0),
        }
    }
}

async fn wal_bytes(admin: &PgPool) -> anyhow::Result<f64> {
    let sql = "SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::float8";
    Ok(sqlx::query_scalar(sql).fetch_one(admin).await?)
}

/// Processor time that a process alone has used so far, in seconds.
pub fn cpu_s(pid: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    Ok(parse(&stat).context("a short stat")?.own_s)
}

struct Process {
    parent: u32,
    own_s: f64,
    /// Of children that have ended.
    ended_children_s: f64,
}

fn processes() -> anyhow::Result<HashMap<u32, Process>> {
    let mut found = HashMap::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // One that ended meanwhile is counted by its parent.
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        found.extend(parse(&stat).map(|process| (pid, process)));
    }
    Ok(found)
}

/// Times are fields 14 to 17, in hundredths of a second (proc(5)); what follows the name is counted from field 3.
fn parse(stat: &str) -> Option<Process> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let seconds = |field: usize| fields.get(field - 3)?.parse::<f64>().ok().map(|ticks| ticks / 100.0);
    Some(Process {
        parent: fields.get(1)?.parse().ok()?,
        own_s: seconds(14)? + seconds(15)?,
        ended_children_s: seconds(16)? + seconds(17)?,
    })
}

fn with_children(processes: &HashMap<u32, Process>, pid: u32) -> f64 {
    let own = processes.get(&pid).map_or(0.0, |process| process.own_s + process.ended_children_s);
    let children = processes.iter().filter(|(_, process)| process.parent == pid);
    own + children.map(|(child, _)| with_children(processes, *child)).sum::<f64>()
}

/// Idle ticks of all processors, and all.
fn ticks() -> anyhow::Result<(f64, f64)> {
    let stat = std::fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().context("an empty stat")?;
    // User, nice, system, idle, waiting for disks, interrupts, stolen; guests are in user already.
    let times: Vec<f64> = line.split_whitespace().skip(1).take(8).filter_map(|time| time.parse().ok()).collect();
    Ok((times.get(3).zip(times.get(4)).map_or(0.0, |(idle, disks)| idle + disks), times.iter().sum()))
}
