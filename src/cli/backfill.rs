//! What came later, over stored images: a model, asked of the server, or what can be known without any, worked out beside it.

mod model;

use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use futures_util::future::try_join_all;

use self::model::ModelArgs;
use super::exit::Exit;
use crate::app::App;
use crate::client::progress::Progress;
use crate::client::text;
use crate::config::Serve;
use crate::maintenance::derive_next;
use crate::service::{Ctx, Error};
use crate::store::derived::{self, Anew};

/// How many images are looked at in one statement.
const PAGE: i64 = 10_000;
/// How often progress is counted.
const COUNT_EVERY: Duration = Duration::from_secs(2);

/// Run a model over stored photographs, as a new version over old ones: those that a filter finds, each in its case
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct BackfillArgs {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    model: ModelArgs,
}

#[derive(Subcommand)]
enum What {
    /// Thumbnails, hashes and EXIF: of images that have none, until all have, and as long as it is let run; what is done stays done
    Derived(Box<DerivedArgs>),
}

#[derive(Args)]
struct DerivedArgs {
    /// Also images that could not be decoded, or all of them, as after DARKROOM_GPS has changed
    #[arg(long, value_enum)]
    again: Option<AgainFor>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Clone, Copy, ValueEnum)]
enum AgainFor {
    Failed,
    All,
}

impl BackfillArgs {
    pub async fn run(self) -> anyhow::Result<Exit> {
        match self.what {
            Some(What::Derived(args)) => args.run().await,
            None => self.model.run().await,
        }
    }
}

impl DerivedArgs {
    async fn run(self) -> anyhow::Result<Exit> {
        let app = App::new(&self.serve).await?;
        let ctx = &app.ctx;
        let anew = match self.again {
            None => Anew::Unknown,
            Some(AgainFor::Failed) => Anew::Failed,
            Some(AgainFor::All) => Anew::All,
        };
        let put = put_in_line(ctx, anew).await?;
        let waiting = count(ctx).await?;
        text::print(&format!("{put} put in line; {waiting} wait\n"))?;
        let shown = tokio::spawn(show(Arc::clone(ctx), waiting));
        let worked = try_join_all((0..self.serve.decoders.max(1)).map(|_| work(ctx))).await;
        shown.abort();
        let worked: u64 = worked?.iter().sum();
        let left = count(ctx).await?;
        text::print(&format!("{worked} worked out here; {left} left, which others have in hand\n"))?;
        Ok(Exit::Success)
    }
}

async fn put_in_line(ctx: &Ctx, anew: Anew) -> Result<i64, Error> {
    let (mut after, mut put) = (0, 0);
    loop {
        let page = ctx.chores.run(async |db| derived::put_in_line(db, anew, after, PAGE).await).await?;
        let Some(last) = page.last else { return Ok(put) };
        (after, put) = (last, put + page.put);
    }
}

async fn count(ctx: &Ctx) -> Result<usize, Error> {
    let waiting = ctx.chores.run(derived::count_waiting).await?;
    Ok(usize::try_from(waiting).unwrap_or_default())
}

/// Works out images until none waits; answers how many.
async fn work(ctx: &Ctx) -> Result<u64, Error> {
    let (mut decoder, mut worked) = (None, 0);
    while derive_next(ctx, &mut decoder).await? {
        worked += 1;
    }
    Ok(worked)
}

/// Shows how many no more wait, whoever worked them out.
async fn show(ctx: Arc<Ctx>, total: usize) {
    let stage = Progress::stderr().images(total as u64);
    loop {
        if let Ok(left) = count(&ctx).await {
            stage.set(total.saturating_sub(left), total, String::new());
        }
        tokio::time::sleep(COUNT_EVERY).await;
    }
}
