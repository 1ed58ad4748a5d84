//! `darkroom cases` and `darkroom case`: where photographs go, and who sees them.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use indicatif::HumanBytes;
use serde::Serialize;

use super::exit::Exit;
use super::listing::{Listing, Question, minute};
use super::session::Connection;
use crate::api::cases::{CaseOut, CaseReceipt, CreateCase, NoteOut, TagCount, UpdateCase};
use crate::client::error::ClientFault;
use crate::client::{cases, text};
use crate::domain::case::CaseRole;

/// List the cases that one is a member of, newest first; an administrator's list has all
#[derive(Debug, Args)]
pub struct CasesArgs {
    #[command(flatten)]
    listing: Listing,
}

/// Make a case, show, edit, close, reopen or delete it, read its tags and notes, and say who sees it
#[derive(Debug, Args)]
pub struct CaseArgs {
    #[command(subcommand)]
    act: CaseAct,
}

#[derive(Debug, Subcommand)]
enum CaseAct {
    /// Make a case, and print its id
    Make(MakeArgs),
    /// Show a case and its members
    Show(CaseArg),
    /// Give it another name or description
    Edit(EditArgs),
    /// List the tags of its images
    Tags(ListArgs),
    /// List its notes, newest first
    Notes(ListArgs),
    /// Make it read-only
    Close(CaseArg),
    /// Let it take changes again
    Reopen(CaseArg),
    /// Delete it with all that no other case holds, and print the receipt
    Delete(DeleteArgs),
    /// Make somebody a member, or give a member another role
    Add(AddArgs),
    /// Take somebody out
    Remove(MemberArg),
}

#[derive(Debug, Args)]
struct MakeArgs {
    name: String,
    /// What it is about
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
struct CaseArg {
    /// Its name or id, as `darkroom cases` lists them
    #[arg(value_name = "CASE")]
    case: String,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
struct EditArgs {
    #[command(flatten)]
    case: CaseArg,
    #[command(flatten)]
    change: EditedCase,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct EditedCase {
    /// What it is called from now on
    #[arg(long)]
    name: Option<String>,
    /// What it is about
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Its name or id, as `darkroom cases` lists them
    #[arg(value_name = "CASE")]
    case: String,
    #[command(flatten)]
    listing: Listing,
}

#[derive(Debug, Args)]
struct DeleteArgs {
    #[command(flatten)]
    case: CaseArg,
    /// Do it: nothing brings it back
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Args)]
struct MemberArg {
    #[command(flatten)]
    case: CaseArg,
    /// The account's name
    #[arg(value_name = "USER")]
    user: String,
}

#[derive(Debug, Args)]
struct AddArgs {
    #[command(flatten)]
    member: MemberArg,
    /// Viewers look, editors also submit and tag, owners also say who is a member
    #[arg(long, default_value = "viewer",
          value_parser = PossibleValuesParser::new(["viewer", "editor", "owner"]).try_map(CaseRole::try_from))]
    role: CaseRole,
}

impl CasesArgs {
    /// # Errors
    /// See [`crate::client::error::ApiError`].
    pub async fn run(self) -> anyhow::Result<Exit> {
        let question = Question { path: &["cases"], query: Vec::new(), most: None, nothing: "No case." };
        self.listing.show(question, ["CASE", "NAME", "ROLE", "IMAGES", "MEMBERS", "CREATED (UTC)", "STATE"], row).await
    }
}

fn row(case: &CaseOut) -> [String; 7] {
    [
        case.id.to_string(),
        text::one_line(&case.name, 44),
        case.role.map_or("-", CaseRole::as_str).to_owned(),
        images(case),
        case.members.len().to_string(),
        minute(case.created_at),
        state(case).to_owned(),
    ]
}

fn images(case: &CaseOut) -> String {
    format!("{}{}", case.images, if case.at_least { "+" } else { "" })
}

fn state(case: &CaseOut) -> &'static str {
    match (case.own, case.closed_at) {
        (true, _) => "own",
        (false, None) => "open",
        (false, Some(_)) => "closed",
    }
}

impl CaseArgs {
    /// # Errors
    /// See [`crate::client::error::ApiError`]; a name that no case has, or several have.
    pub async fn run(self) -> anyhow::Result<Exit> {
        match self.act {
            CaseAct::Make(args) => make(args).await?,
            CaseAct::Show(args) => {
                let case = cases::find(&args.connection.api()?, &args.case).await?;
                print(&case, args.json, shown)?;
            }
            CaseAct::Edit(EditArgs { case, change: EditedCase { name, description } }) => {
                change(case, &UpdateCase { name, description, closed: None }, shown).await?;
            }
            CaseAct::Tags(args) => return tags(args).await,
            CaseAct::Notes(args) => return notes(args).await,
            CaseAct::Close(args) => change(args, &closed(true), line).await?,
            CaseAct::Reopen(args) => change(args, &closed(false), line).await?,
            CaseAct::Delete(args) => delete(args).await?,
            CaseAct::Add(args) => add(args).await?,
            CaseAct::Remove(args) => remove(args).await?,
        }
        Ok(Exit::Success)
    }
}

async fn make(args: MakeArgs) -> anyhow::Result<()> {
    let api = args.connection.api()?;
    let new = CreateCase { name: args.name, description: args.description };
    let made = cases::make(&api, &new).await?;
    text::print(&format!("{}\n", made.id))?;
    let mut called = format!("{:?}", text::one_line(&made.name, 80));
    if cases::named(&api, &made.name).await?.len() > 1 {
        text::say(&format!("Another case is named {called}, too: from now on say which by its id."));
        called = made.id.to_string();
    }
    text::say(&format!("Put photographs into it: darkroom submit --case {called} --models MODEL FOLDER"));
    Ok(())
}

fn closed(closed: bool) -> UpdateCase {
    UpdateCase { closed: Some(closed), ..UpdateCase::default() }
}

async fn change(args: CaseArg, change: &UpdateCase, tell: fn(&CaseOut) -> String) -> anyhow::Result<()> {
    let api = args.connection.api()?;
    let case = cases::find(&api, &args.case).await?;
    print(&cases::change(&api, case.id, change).await?, args.json, tell)
}

async fn tags(args: ListArgs) -> anyhow::Result<Exit> {
    let case = cases::find(&args.listing.api()?, &args.case).await?.id.to_string();
    let question = Question { path: &["cases", &case, "tags"], query: Vec::new(), most: None, nothing: "No tag." };
    let row = |tag: &TagCount| {
        [text::one_line(&tag.tag, 64), format!("{}{}", tag.images, if tag.at_least { "+" } else { "" })]
    };
    args.listing.show(question, ["TAG", "IMAGES"], row).await
}

async fn notes(args: ListArgs) -> anyhow::Result<Exit> {
    let case = cases::find(&args.listing.api()?, &args.case).await?.id.to_string();
    let question = Question { path: &["cases", &case, "notes"], query: Vec::new(), most: None, nothing: "No note." };
    let row = |note: &NoteOut| {
        let image = note.image.clone().unwrap_or_default();
        [minute(note.created_at), text::clean(&note.user), image, text::one_line(&note.text, 400)]
    };
    args.listing.show(question, ["WRITTEN (UTC)", "BY", "IMAGE", "NOTE"], row).await
}

async fn delete(args: DeleteArgs) -> anyhow::Result<()> {
    let api = args.case.connection.api()?;
    let case = cases::find(&api, &args.case.case).await?;
    if !args.yes {
        let told = format!(
            "{} holds {} images, and nothing brings back what goes: say --yes to delete it",
            text::one_line(&case.name, 80),
            images(&case)
        );
        return Err(ClientFault::Usage(told).into());
    }
    print(&cases::delete(&api, case.id).await?, args.case.json, receipt)?;
    Ok(())
}

async fn add(args: AddArgs) -> anyhow::Result<()> {
    let MemberArg { case, user } = args.member;
    let api = case.connection.api()?;
    let found = cases::find(&api, &case.case).await?;
    print(&cases::set_member(&api, found.id, &user, args.role).await?, case.json, shown)?;
    Ok(())
}

async fn remove(args: MemberArg) -> anyhow::Result<()> {
    let api = args.case.connection.api()?;
    let found = cases::find(&api, &args.case.case).await?;
    cases::remove_member(&api, found.id, &args.user).await?;
    text::say(&format!("{} is no member of {} any more.", text::clean(&args.user), text::one_line(&found.name, 80)));
    Ok(())
}

fn print<T: Serialize>(what: &T, json: bool, tell: impl Fn(&T) -> String) -> anyhow::Result<()> {
    let told = if json { serde_json::to_string_pretty(what)? } else { tell(what) };
    text::print(&format!("{}\n", told.trim_end()))?;
    Ok(())
}

fn line(case: &CaseOut) -> String {
    format!("{}: {}", text::one_line(&case.name, 80), state(case))
}

fn shown(case: &CaseOut) -> String {
    let mut lines = vec![
        format!("{}  {}", text::one_line(&case.name, 80), case.id),
        format!("{}, {} images, made {}", state(case), images(case), minute(case.created_at)),
    ];
    if !case.description.is_empty() {
        lines.push(text::one_line(&case.description, 400));
    }
    let members = case.members.iter().map(|m| format!("  {}  {}", m.role.as_str(), text::clean(&m.user)));
    lines.extend(members);
    lines.join("\n")
}

fn receipt(gone: &CaseReceipt) -> String {
    let size = HumanBytes(gone.bytes.unsigned_abs());
    let rest = if gone.done { "" } else { "; the rest goes within minutes" };
    format!(
        "{} deleted by {}: {} titles, {} images of {size}, {} tags, {} notes{rest}",
        gone.case,
        text::clean(&gone.by),
        gone.titles,
        gone.images,
        gone.tags,
        gone.notes
    )
}
