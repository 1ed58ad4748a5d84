//! What retention would remove, and removing it at once.

use anyhow::bail;
use clap::Args;

use super::exit::Exit;
use crate::app::App;
use crate::client::text;
use crate::config::Serve;
use crate::maintenance;
use crate::store::retention::Kind;

#[derive(Args)]
pub struct RetentionArgs {
    /// Remove it, in place of only counting it
    #[arg(long)]
    act: bool,
    #[command(flatten)]
    serve: Serve,
}

impl RetentionArgs {
    pub async fn run(self) -> anyhow::Result<Exit> {
        let app = App::new(&self.serve).await?;
        let old = maintenance::count_old(&app.ctx).await?;
        if old.is_empty() {
            text::print("everything is kept for ever; set DARKROOM_KEEP_IMAGES_DAYS and its like to change that\n")?;
            return Ok(Exit::Success);
        }
        for one in &old {
            let what = if self.act { "to go" } else { "would go" };
            text::print(&format!("{:<12} kept {:>5} days {:>12} {what}\n", name(one.kind), one.keep.0, one.count))?;
        }
        if !self.act {
            text::print("nothing was removed; the server does so every hour, and `darkroom retention --act` now\n")?;
            return Ok(Exit::Success);
        }
        if maintenance::reconnect(&app.ctx).await.is_err() {
            bail!("Redis does not answer, and what it mirrors of images and results must go with them; start it first");
        }
        loop {
            // A tick is bounded: as long as it finds anything there may be more.
            let gone = maintenance::remove_old(&app.ctx).await?;
            for one in gone.iter().filter(|one| one.count > 0) {
                let whole =
                    if matches!(one.kind, Kind::Jobs | Kind::Events) { ", counting a whole day as one" } else { "" };
                text::print(&format!("{:<12} {} gone{whole}\n", name(one.kind), one.count))?;
            }
            if gone.iter().all(|one| one.count == 0) {
                return Ok(Exit::Success);
            }
        }
    }
}

const fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Images => "images",
        Kind::Results => "results",
        Kind::Attempts => "attempts",
        Kind::Submissions => "submissions",
        Kind::Sessions => "sessions",
        Kind::Jobs => "ended jobs",
        Kind::Events => "events",
        Kind::Runs => "runs",
        Kind::Checkpoints => "checkpoints",
    }
}
