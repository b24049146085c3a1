//! What came of a run: a table in Markdown that can be pasted into a report, and the same as JSON.

use super::checklist::Case;
use serde::Serialize;
use std::collections::BTreeMap;

/// The version of the JSON form.
const VERSION: u32 = 1;

/// What came of one case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "camelCase")]
pub enum Outcome {
    /// The service answered as the contract says.
    AsContract {
        /// The status and the error's code.
        #[serde(rename = "serviceAnswered")]
        answered: String,
    },
    /// It did not.
    Differs {
        /// The status, the error's code, and what was there instead.
        #[serde(rename = "serviceAnswered")]
        answered: String,
    },
    /// The target is not of the kind that the case is about.
    NotApplicable {
        /// Why.
        why: String,
    },
    /// The case could not be tried.
    NotRun {
        /// Why.
        why: String,
    },
}

/// One line of the report.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// The case's name.
    pub id: String,
    /// The contract's section.
    pub source: String,
    /// What was done.
    pub case: String,
    /// What the contract says about the answer.
    pub contract_says: String,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What became of the things that a run made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Cleanup {
    /// How many were deleted.
    pub deleted: usize,
    /// These could not be. They keep their ids here, so that a person can delete them: this is not part of the report.
    #[serde(skip)]
    pub left: Vec<String>,
}

/// The whole report.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    version: u32,
    program: &'static str,
    subject: BTreeMap<&'static str, String>,
    counts: Counts,
    cases: Vec<Row>,
    cleanup: Cleanup,
    interrupted: bool,
}

/// How many cases had which result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Answered as the contract says.
    pub as_contract: usize,
    /// Answered in another way.
    pub differs: usize,
    /// About another kind of target.
    pub not_applicable: usize,
    /// Not tried.
    pub not_run: usize,
}

impl Row {
    pub(super) fn of(case: &Case, outcome: Outcome) -> Self {
        Self {
            id: case.id.clone(),
            source: case.source.clone(),
            case: case.title.clone(),
            contract_says: case.expect.join(", "),
            outcome,
        }
    }

    /// A case that the run did not get to.
    pub fn not_reached(case: &Case) -> Self {
        Self::of(case, Outcome::NotRun { why: "the run was interrupted".to_owned() })
    }
}

impl Report {
    /// The report of a run on `subject`.
    pub fn new(subject: BTreeMap<&'static str, String>, cases: Vec<Row>, cleanup: Cleanup, interrupted: bool) -> Self {
        let mut counts = Counts::default();
        for row in &cases {
            let count = match row.outcome {
                Outcome::AsContract { .. } => &mut counts.as_contract,
                Outcome::Differs { .. } => &mut counts.differs,
                Outcome::NotApplicable { .. } => &mut counts.not_applicable,
                Outcome::NotRun { .. } => &mut counts.not_run,
            };
            *count += 1;
        }
        let program = concat!("cupola ", env!("CARGO_PKG_VERSION"));
        Self { version: VERSION, program, subject, counts, cases, cleanup, interrupted }
    }

    /// Has every case that applies been answered as the contract says, and is everything deleted?
    pub fn is_clean(&self) -> bool {
        self.counts.differs == 0 && self.counts.not_run == 0 && !self.interrupted
    }

    /// The counts.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What could not be deleted, with its ids: not for the report.
    pub fn left(&self) -> &[String] {
        &self.cleanup.left
    }

    /// As a table in Markdown: first what differs, then the rest.
    pub fn markdown(&self) -> String {
        let Counts { as_contract, differs, not_applicable, not_run } = self.counts;
        let mut lines = vec![self.program.to_owned(), String::new()];
        lines.extend(self.subject.iter().map(|(name, value)| format!("- {name}: {}", cell(value))));
        lines.push(format!(
            "- as the contract says: {as_contract}; differs: {differs}; not run: {not_run}; does not apply: {not_applicable}"
        ));
        if self.interrupted {
            lines.push("- the run was interrupted".to_owned());
        }
        lines.push(String::new());
        lines.push("| result | case | contract | what was done | contract says | service answered |".to_owned());
        lines.push("|---|---|---|---|---|---|".to_owned());
        let rank = |row: &&Row| match row.outcome {
            Outcome::Differs { .. } => 0,
            Outcome::NotRun { .. } => 1,
            Outcome::AsContract { .. } => 2,
            Outcome::NotApplicable { .. } => 3,
        };
        let mut rows: Vec<_> = self.cases.iter().collect();
        rows.sort_by_key(rank);
        for row in rows {
            let (result, answered) = match &row.outcome {
                Outcome::AsContract { answered } => ("ok", answered),
                Outcome::Differs { answered } => ("**differs**", answered),
                Outcome::NotApplicable { why } => ("does not apply", why),
                Outcome::NotRun { why } => ("**not run**", why),
            };
            let cells = [result, &row.id, &row.source, &row.case, &row.contract_says, answered].map(cell);
            lines.push(format!("| {} |", cells.join(" | ")));
        }
        lines.join("\n") + "\n"
    }
}

/// A text in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}
