//! What a build did, or would do: the same document, and a table for people.

use super::for_runtime::ForRuntime;
use crate::build::{Built, PassedOver, PlanState, PlannedGraph, RowState};
use crate::cache::Verification;
use crate::cli::printer::{self, table};
use crate::ids::GraphId;

/// What a build did for each graph, or what it would do. A graph's row has the same fields for the same facts in both.
#[derive(Debug, serde::Serialize)]
pub(super) struct Report<Row> {
    /// The folder that engines are for, where it is not the active one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) for_runtime: Option<ForRuntime>,
    pub(super) graphs: Vec<Row>,
}

impl Report<PlannedGraph> {
    /// What is to be done. The run-time folder comes first, which a build says before it begins.
    pub(super) fn text(&self) -> String {
        let runtime = self.for_runtime.iter();
        let runtime = runtime.map(|runtime| format!("{runtime}\n"));
        runtime.chain([plan_text(&self.graphs)]).collect()
    }
}

impl Report<Built> {
    /// What was done.
    pub(super) fn text(&self) -> String {
        built_text(&self.graphs)
    }
}

fn plan_text(graphs: &[PlannedGraph]) -> String {
    let heading = ["graph", "backend", "precision", "key", "to do", "why"]
        .map(str::to_owned)
        .to_vec();
    let rows = graphs.iter().map(|planned| {
        let (state, reason) = match &planned.state {
            PlanState::Cached { .. } => ("nothing", String::new()),
            PlanState::Verify { .. } => ("verify", "never compared with the reference".to_owned()),
            PlanState::Build { reason } => ("build", reason.clone()),
        };
        let PlannedGraph {
            graph,
            backend,
            precision,
            key,
            ..
        } = planned;
        vec![
            graph.to_string(),
            backend.to_string(),
            precision.to_string(),
            key.map_or_else(|| "open".to_owned(), |key| key.short()),
            state.to_owned(),
            reason,
        ]
    });
    let mut text = table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>());
    let remarks = graphs.iter().map(|planned| {
        let remarks = passed_over(&planned.passed_over).chain(planned.notes.clone());
        (planned.graph, remarks.collect())
    });
    text.push_str(&remarks_text(&remarks.collect::<Vec<_>>()));
    text
}

fn built_text(built: &[Built]) -> String {
    let heading = [
        "graph",
        "backend",
        "precision",
        "build time",
        "size",
        "max error",
        "state",
    ]
    .map(str::to_owned)
    .to_vec();
    let rows = built.iter().map(|row| {
        let state = match row.state {
            RowState::Cached => "cached",
            RowState::Verified => "verified",
            RowState::Built => "built",
        };
        vec![
            row.graph.to_string(),
            row.backend.to_string(),
            row.precision.to_string(),
            seconds(row.build_ms),
            printer::bytes(row.bytes),
            max_error(row),
            state.to_owned(),
        ]
    });
    let mut text = table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>());
    let remarks = built.iter().map(|row| {
        let said = passed_over(&row.passed_over).chain(row.notes.clone());
        (row.graph, said.chain(not_verified(row)).collect())
    });
    text.push_str(&remarks_text(&remarks.collect::<Vec<_>>()));
    text
}

fn passed_over(links: &[PassedOver]) -> impl Iterator<Item = String> {
    links.iter().map(|link| format!("passed over {link}"))
}

/// Why a row has no error, where no note says so.
fn not_verified(row: &Built) -> Option<String> {
    let Verification::NotRunHere { reason } = &row.verification else {
        return None;
    };
    let is_said = row.notes.iter().any(|note| note.contains(reason.as_str()));
    (!is_said).then(|| format!("not verified: {reason}"))
}

/// One line per remark, with the graphs it is about.
fn remarks_text(remarks: &[(GraphId, Vec<String>)]) -> String {
    let mut lines: Vec<(&str, Vec<&str>)> = Vec::new();
    for (graph, remark) in remarks
        .iter()
        .flat_map(|(graph, own)| own.iter().map(move |remark| (graph, remark)))
    {
        match lines.iter_mut().find(|(said, _)| said == remark) {
            Some((_, graphs)) => graphs.push(graph.as_str()),
            None => lines.push((remark, vec![graph.as_str()])),
        }
    }
    let line = |(remark, graphs): &(&str, Vec<&str>)| {
        if graphs.len() > 1 && graphs.len() == remarks.len() {
            format!("all graphs: {remark}\n")
        } else {
            format!("{}: {remark}\n", graphs.join(", "))
        }
    };
    lines.iter().map(line).collect()
}

fn max_error(row: &Built) -> String {
    match (&row.verification, row.max_abs_error) {
        (_, Some(error)) => format!("{error:.1e}"),
        (Verification::Skipped, None) => "not asked for".to_owned(),
        (Verification::Failed { .. }, None) => "failed".to_owned(),
        (_, None) => "not run here".to_owned(),
    }
}

fn seconds(milliseconds: u64) -> String {
    format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remark_is_said_once() {
        let remarks = [
            (GraphId::Llm, vec!["slow".to_owned(), "large".to_owned()]),
            (GraphId::HiftF0, vec!["slow".to_owned()]),
        ];
        assert_eq!(remarks_text(&remarks), "all graphs: slow\nllm: large\n");
        assert_eq!(remarks_text(&remarks[..1]), "llm: slow\nllm: large\n");
    }
}
