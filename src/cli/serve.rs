//! `cvtrt serve`: speech over HTTP.

use super::context::Context;
use super::failure::{Exit, Failure};
use super::model;
use super::values::positive;
use crate::bundle::Bundle;
use crate::deploy::{Deployment, Floor};
use crate::frontend::text::TextFrontend;
use crate::hint::Hint;
use crate::pipeline::PromptStage;
use crate::profile::Profile;
use crate::scheduler::{LaneSpeaker, Limits, OpenSpeaker, Scheduler, Speaker, SpeakerError};
use crate::server::{Model, Server, Settings};
use crate::setup::text_graphs;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};

/// Answer requests for speech over HTTP
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Bundle: a folder, or a name under onnx/; repeat for several models, the first is the default
    #[arg(long, value_name = "DIR")]
    bundle: Vec<PathBuf>,
    #[command(flatten)]
    load: model::LoadFlags,
    /// Serve each graph by the best backend of its chain that loads here; so it is where nothing is said
    #[arg(long, conflicts_with_all = ["tier", "fallback"])]
    auto: bool,
    /// As --auto, and go down a chain even where the profile would rather fail
    #[arg(long, conflicts_with = "tier")]
    fallback: bool,
    /// Not ready below this tier, or this backend; ort-cuda where the profile is one for GPUs
    #[arg(long, value_name = "TIER")]
    min_tier: Option<Floor>,
    /// Address to listen at
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,
    /// Port to listen at; 0 takes a free one
    #[arg(long, value_name = "N", default_value_t = 9234)]
    port: u16,
    /// Requests per model that wait or are being spoken; more are answered with 429
    #[arg(long, value_name = "N", default_value = "20", value_parser = positive::<NonZeroUsize>)]
    limit_concurrency: NonZeroUsize,
    /// Connections the system keeps until they are accepted
    #[arg(long, value_name = "N", default_value_t = 2048)]
    backlog: u32,
}

/// Where the server is to be found.
#[derive(Debug, serde::Serialize)]
struct Listening {
    url: String,
    models: Vec<String>,
    /// Models that do not speak since they are below their floor, and why, in one line each.
    below_floor: BTreeMap<String, String>,
}

/// Threads for sockets; speaking has its own.
const SOCKET_THREADS: usize = 2;

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(SOCKET_THREADS)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Failed, error))?;
    let _entered = runtime.enter();
    // Before the models, so that a port that is taken costs no minute.
    let listener = listen(args)?;
    let bundles = bundles(args, context)?;
    let models = bundles
        .iter()
        .zip(0..)
        .map(|(bundle, lane)| open(lane, bundle, args, context))
        .collect::<Result<Vec<Model>, Failure>>()?;
    let failed = |error: std::io::Error| Failure::new(Exit::Failed, error);
    let stop = stop_signal().map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let below = models
        .iter()
        .filter_map(|model| Some((model.name().to_owned(), model.below_floor()?)));
    let listening = Listening {
        url: format!("http://{address}"),
        below_floor: below.collect(),
        models: models.iter().map(|model| model.name().to_owned()).collect(),
    };
    context.printer().result(&listening, announced)?;
    let server = Server::new(models, Settings::default());
    match runtime.block_on(server.serve(listener, stop)) {
        Ok(()) => Ok(Exit::Done),
        Err(lost) => Err(Failure::new(Exit::Failed, anyhow::anyhow!("{lost}"))
            .with_hint(lost.hint().unwrap_or_default())),
    }
}

fn listen(args: &Args) -> Result<TcpListener, Failure> {
    let address = SocketAddr::new(args.host, args.port);
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    };
    let listener = socket.and_then(|socket| {
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(args.backlog)
    });
    listener.map_err(|error| {
        let error = anyhow::Error::from(error).context(format!("cannot listen at {address}"));
        Failure::new(Exit::Failed, error)
            .with_hint("--port names another port, --port 0 takes a free one")
    })
}

fn bundles(args: &Args, context: &Context) -> Result<Vec<Bundle>, Failure> {
    let words: Vec<Option<&Path>> = match args.bundle.as_slice() {
        [] => vec![None],
        named => named.iter().map(|word| Some(word.as_path())).collect(),
    };
    let mut bundles: Vec<Bundle> = Vec::with_capacity(words.len());
    for word in words {
        let bundle = model::bundle(word, context)?;
        let name = &bundle.manifest().name;
        if bundles.iter().any(|other| other.manifest().name == *name) {
            return Err(Failure::usage(anyhow::anyhow!(
                "two bundles have the name `{name}`"
            )));
        }
        bundles.push(bundle);
    }
    Ok(bundles)
}

fn open(lane: u16, bundle: &Bundle, args: &Args, context: &Context) -> Result<Model, Failure> {
    let name = bundle.manifest().name.clone();
    let _model = tracing::error_span!("model", name).entered();
    let profile = profile(args, context)?;
    let floor = args.min_tier.or_else(|| default_floor(args, &profile));
    let speaking = model::deployment_by(&profile, bundle, &model::SPEAKING, &args.load, context)?;
    let hearing = hearing(bundle, args, context)?;
    let served = [&speaking]
        .into_iter()
        .chain(&hearing)
        .flat_map(|deployment| deployment.served.clone())
        .collect();
    let limits = Limits {
        places: args.limit_concurrency.get(),
    };
    let opener = opener(lane, bundle.clone(), speaking, hearing);
    let scheduler = Scheduler::start(&name, opener, limits)
        .map_err(|error| Failure::new(Exit::Failed, error))?;
    let frontend = TextFrontend::open(&text_graphs(context.runtime_dir()))?;
    Ok(Model::new(bundle, frontend, served, scheduler)?.with_floor(floor))
}

fn announced(listening: &Listening) -> String {
    let Listening {
        url,
        models,
        below_floor,
    } = listening;
    let served = models
        .iter()
        .filter(|name| !below_floor.contains_key(*name));
    let served: Vec<&str> = served.map(String::as_str).collect();
    let mut lines = Vec::new();
    if !served.is_empty() {
        // Lanes are still being opened.
        let served = served.join(", ");
        lines.push(format!(
            "{url} serves {served}; /readyz says when it is ready"
        ));
    }
    for (name, reason) in below_floor {
        lines.push(format!(
            "{url} is up and not ready to speak {name}: {reason}"
        ));
    }
    lines.join("\n")
}

fn profile(args: &Args, context: &Context) -> Result<Profile, Failure> {
    let profile = args.load.machine.profile(args.load.tier, context)?;
    Ok(if args.fallback {
        profile.falling_back()
    } else {
        profile
    })
}

/// A forced tier is its own floor: it is served or nothing is.
fn default_floor(args: &Args, profile: &Profile) -> Option<Floor> {
    match args.load.tier {
        Some(_) => None,
        None => Floor::of(profile),
    }
}

/// The graphs that hear recordings, where the bundle has them; a forced tier is for those that speak.
fn hearing(bundle: &Bundle, args: &Args, context: &Context) -> Result<Option<Deployment>, Failure> {
    let graphs = PromptStage::GRAPHS;
    if !graphs.iter().all(|graph| bundle.graph_file(*graph).is_ok()) {
        return Ok(None);
    }
    model::deployment(bundle, &graphs, &args.load.without_tier(), context).map(Some)
}

fn opener(
    lane: u16,
    bundle: Bundle,
    speaking: Deployment,
    hearing: Option<Deployment>,
) -> OpenSpeaker {
    Box::new(move || -> Result<Box<dyn Speaker>, SpeakerError> {
        let lane = speaking.lane(lane)?;
        let speaker = LaneSpeaker::open(&bundle, &speaking, hearing.as_ref(), lane)?;
        Ok(Box::new(speaker))
    })
}

/// Ends with the first SIGTERM or Ctrl-C; a second one ends the process.
fn stop_signal() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (first, stop) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut first = Some(first);
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            match first.take() {
                Some(first) => drop(first),
                None => std::process::exit(130),
            }
        }
    });
    Ok(async move {
        // The other end is dropped by the first signal, and not before.
        let _: Result<(), _> = stop.await;
        tracing::info!("stopping: requests in hand are still answered");
    })
}
