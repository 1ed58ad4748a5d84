//! What a stream of events may tell of: each topic is the present state of one thing that a route shows.

use std::fmt;

use uuid::Uuid;

/// One thing whose present state is told, and told again when it differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// How much of each model's work waits and runs.
    Queues,
    /// The known models that are not retired.
    Models,
    /// Who is alive.
    Workers,
    /// The newest submissions of a case, or of all that are seen.
    Submissions(Option<Uuid>),
    Submission(Uuid),
    /// Those that live services train on.
    Datasets,
    /// The newest training runs.
    Runs,
    Run(Uuid),
    /// One's own exports of a case, or all of them.
    Exports(Option<Uuid>),
    /// When the newest photograph came, to a case or to all that are seen.
    Images(Option<Uuid>),
}

impl Topic {
    /// What each is called, and what follows its name after a colon.
    pub const FORMS: &str = "queues, models, workers, submissions, submissions:<case>, submission:<id>, datasets, runs, run:<id>, exports, exports:<case>, images, images:<case>";

    /// Reads `models`, or `submission:` and an id.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, id) = match text.split_once(':') {
            None => (text, None),
            Some((name, id)) => (name, Some(Uuid::try_parse(id).ok()?)),
        };
        Some(match (name, id) {
            ("queues", None) => Self::Queues,
            ("models", None) => Self::Models,
            ("workers", None) => Self::Workers,
            ("submissions", case) => Self::Submissions(case),
            ("submission", Some(id)) => Self::Submission(id),
            ("datasets", None) => Self::Datasets,
            ("runs", None) => Self::Runs,
            ("run", Some(id)) => Self::Run(id),
            ("exports", case) => Self::Exports(case),
            ("images", case) => Self::Images(case),
            _ => return None,
        })
    }

    /// Its name without an id.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Queues => "queues",
            Self::Models => "models",
            Self::Workers => "workers",
            Self::Submissions(_) => "submissions",
            Self::Submission(_) => "submission",
            Self::Datasets => "datasets",
            Self::Runs => "runs",
            Self::Run(_) => "run",
            Self::Exports(_) => "exports",
            Self::Images(_) => "images",
        }
    }

    const fn id(self) -> Option<Uuid> {
        match self {
            Self::Queues | Self::Models | Self::Workers | Self::Datasets | Self::Runs => None,
            Self::Submissions(case) | Self::Exports(case) | Self::Images(case) => case,
            Self::Submission(id) | Self::Run(id) => Some(id),
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id() {
            None => f.write_str(self.kind()),
            Some(id) => write!(f, "{}:{id}", self.kind()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_as_it_is_written_and_nothing_else() {
        let id = Uuid::from_u128(7).to_string();
        for form in Topic::FORMS.split(", ") {
            let text = form.replace("<case>", &id).replace("<id>", &id);
            assert_eq!(Topic::parse(&text).map(|topic| topic.to_string()), Some(text));
        }
        for wrong in ["", "model", "models:", "submission", "run:7", "queues:00000000-0000-0000-0000-000000000007"] {
            assert_eq!(Topic::parse(wrong), None, "{wrong}");
        }
    }
}
