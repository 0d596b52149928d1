//! `cvtrt profiles`: ready-made ones, a user's own, and the one for this machine.

use super::context::Context;
use super::failure::{Exit, Failure};
use super::model;
use super::printer::table;
use crate::cuda;
use crate::diagnose::memory_mib;
use crate::profile::{Fit, Machine, Memory, Origin, Shelf, ShelvedProfile, recommended};
use std::fmt::Write as _;

/// List profiles, show one, or name the one for this machine
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Every profile by name
    List,
    /// One profile as YAML
    Show {
        /// A name, or a file
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// The profile that suits this machine's memory and backends, and why
    Recommend,
}

#[derive(Debug, serde::Serialize)]
struct Listed {
    name: String,
    origin: Origin,
    description: String,
    slots: u16,
    memory: Memory,
    chain: Vec<crate::ids::BackendId>,
}

#[derive(Debug, serde::Serialize)]
struct Recommendation {
    machine: Machine,
    recommended: Option<String>,
    profiles: Vec<Fit>,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let shelf = Shelf::with_folder(&context.places().profiles);
    match &args.action {
        Action::List => list(&shelf, context),
        Action::Show { name } => show(&shelf.find(name)?, context),
        Action::Recommend => recommend(&shelf, context),
    }
}

fn list(shelf: &Shelf, context: &Context) -> Result<Exit, Failure> {
    let listed: Vec<Listed> = shelved(shelf)?
        .into_iter()
        .map(|(name, ShelvedProfile { profile, origin })| Listed {
            name,
            origin,
            memory: profile.memory_needed(),
            slots: profile.decode_slots.get(),
            chain: profile.chain.links,
            description: profile.description,
        })
        .collect();
    context.printer().result(&listed, |listed| {
        let heading = [
            "profile",
            "utterances",
            "GPU MiB",
            "host MiB",
            "backends",
            "from",
            "about",
        ];
        let mut rows = vec![heading.map(str::to_owned).to_vec()];
        rows.extend(listed.iter().map(|one| {
            vec![
                one.name.clone(),
                one.slots.to_string(),
                one.memory.device_mib.to_string(),
                one.memory.host_mib.to_string(),
                words(&one.chain),
                origin(&one.origin),
                one.description.clone(),
            ]
        }));
        table(&rows)
    })?;
    Ok(Exit::Done)
}

fn show(found: &ShelvedProfile, context: &Context) -> Result<Exit, Failure> {
    context.printer().result(found, |found| {
        format!("# {}\n{}", origin(&found.origin), found.profile.to_yaml())
    })?;
    Ok(Exit::Done)
}

fn recommend(shelf: &Shelf, context: &Context) -> Result<Exit, Failure> {
    let machine = machine(context);
    let profiles: Vec<Fit> = shelved(shelf)?
        .iter()
        .map(|(_, found)| Fit::of(&found.profile, &machine))
        .collect();
    let recommended = recommended(&profiles).map(|fit| fit.profile.clone());
    let recommendation = Recommendation {
        machine,
        recommended,
        profiles,
    };
    context
        .printer()
        .result(&recommendation, recommendation_text)?;
    Ok(match recommendation.recommended {
        Some(_) => Exit::Done,
        None => Exit::Failed,
    })
}

fn shelved(shelf: &Shelf) -> Result<Vec<(String, ShelvedProfile)>, Failure> {
    let mut shelved = Vec::new();
    for name in shelf.names()? {
        let found = shelf.find(&name)?;
        shelved.push((name, found));
    }
    Ok(shelved)
}

fn machine(context: &Context) -> Machine {
    const MIB: u64 = 1 << 20;
    let largest = |driver: cuda::Driver| {
        let devices = driver.devices.into_iter();
        devices.map(|device| device.memory_bytes / MIB).max()
    };
    let runs = |backend: &std::sync::Arc<dyn crate::backend::Backend>| {
        let can = backend.probe().is_ok_and(|found| found.run.is_ok());
        can.then_some(backend.id())
    };
    Machine {
        host_mib: memory_mib(),
        device_mib: cuda::probe().ok().and_then(largest),
        runs: model::backends(context).iter().filter_map(runs).collect(),
    }
}

fn recommendation_text(recommendation: &Recommendation) -> String {
    let Recommendation {
        machine,
        recommended,
        profiles,
    } = recommendation;
    let host = machine
        .host_mib
        .map_or_else(|| "unknown".to_owned(), |mib| format!("{mib} MiB"));
    let device = machine.device_mib.map_or_else(
        || "no GPU".to_owned(),
        |mib| format!("a GPU with {mib} MiB"),
    );
    let runs = match machine.runs.as_slice() {
        [] => "no backend".to_owned(),
        some => words(some),
    };
    let mut text = format!("here: {host} of memory, {device}, {runs}\n\n");
    let heading = [
        "profile",
        "utterances",
        "GPU MiB",
        "host MiB",
        "runs on",
        "fits",
    ];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(profiles.iter().map(|fit| {
        let misfits: Vec<String> = fit.misfits.iter().map(ToString::to_string).collect();
        vec![
            fit.profile.clone(),
            fit.slots.to_string(),
            fit.needs.device_mib.to_string(),
            fit.needs.host_mib.to_string(),
            fit.runs_on
                .map_or_else(|| "-".to_owned(), |backend| backend.to_string()),
            if fit.is_fit() {
                "yes".to_owned()
            } else {
                misfits.join("; ")
            },
        ]
    }));
    text.push_str(&table(&rows));
    match recommended {
        Some(name) => writeln!(text, "\ntake it with --profile {name}"),
        None => writeln!(
            text,
            "\nnone fits: write a smaller profile (`cvtrt profiles show cpu` is a start), or see `cvtrt diagnose`"
        ),
    }
    .expect("a string takes all");
    text
}

fn words(backends: &[crate::ids::BackendId]) -> String {
    let words: Vec<&str> = backends.iter().map(|backend| backend.as_str()).collect();
    words.join(", ")
}

fn origin(origin: &Origin) -> String {
    match origin {
        Origin::ReadyMade => "ready-made".to_owned(),
        Origin::File(path) => path.display().to_string(),
    }
}
