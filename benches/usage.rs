//! Who used the processors: the server, PostgreSQL, Redis, or this client.

use anyhow::Context;

use crate::site::{Server, Site};

/// Processor time used so far, in seconds.
#[derive(Clone, Copy)]
pub struct Usage {
    server: f64,
    postgres: f64,
    redis: f64,
    client: f64,
}

impl Usage {
    pub fn now(site: &Site, servers: &[&Server]) -> anyhow::Result<Self> {
        let postmaster: u32 = site.postgres.pid()?.parse()?;
        Ok(Self {
            server: servers.iter().map(|server| server.cpu_s()).sum::<anyhow::Result<f64>>()?,
            postgres: cpu_with_children_s(postmaster)?,
            redis: cpu_s(site.redis.pid()?.parse()?)?,
            client: cpu_s(std::process::id())?,
        })
    }

    /// Prints what was used since, in microseconds per unit of work.
    pub fn print_since(self, before: Self, units: usize, unit: &str) {
        let per_unit = |now: f64, then: f64| (now - then) * 1e6 / units as f64;
        println!(
            "    µs of processor per {unit}: server {:.0}, PostgreSQL {:.0}, Redis {:.0}, client {:.0}",
            per_unit(self.server, before.server),
            per_unit(self.postgres, before.postgres),
            per_unit(self.redis, before.redis),
            per_unit(self.client, before.client)
        );
    }
}

/// Processor time that a process has used so far, in seconds: fields 14 and 15 of `stat`, in hundredths (proc(5)).
pub fn cpu_s(pid: u32) -> anyhow::Result<f64> {
    Ok(stat(pid)?.1)
}

/// The same with its living children.
fn cpu_with_children_s(parent: u32) -> anyhow::Result<f64> {
    let mut sum = cpu_s(parent)?;
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // One that ended meanwhile is not counted.
        sum += stat(pid).map_or(0.0, |(its_parent, used)| if its_parent == parent { used } else { 0.0 });
    }
    Ok(sum)
}

/// Its parent, and processor time in seconds.
fn stat(pid: u32) -> anyhow::Result<(u32, f64)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("no name in stat")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |place: usize| fields.get(place).and_then(|t| t.parse::<f64>().ok()).context("a short stat");
    Ok((fields.get(1).context("a short stat")?.parse()?, (ticks(11)? + ticks(12)?) / 100.0))
}
