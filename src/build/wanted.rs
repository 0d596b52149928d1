//! What request, profile and bundle want of one graph.

use super::BuildRequest;
use crate::bundle::Bundle;
use crate::ids::{Axis, GraphId, Precision};
use crate::profile::{AxisLimits, Chain, Fallback};

/// The largest sizes that a bundle's graphs take.
pub fn axis_limits(bundle: &Bundle) -> AxisLimits {
    let manifest = bundle.manifest();
    let positions = manifest.llm.max_positions;
    let mut limits = AxisLimits::from([
        ((GraphId::Llm, Axis::New), positions),
        ((GraphId::Llm, Axis::Past), positions),
    ]);
    if let Some(max_tokens) = manifest.flow.max_tokens {
        limits.insert((GraphId::FlowEncoder, Axis::Tokens), max_tokens);
    }
    limits
}

/// A flag replaces the profile's precision, but a graph that the profile keeps in FP32 stays there, unless that graph was
/// asked for by name.
pub(super) fn precision_of(
    graph: GraphId,
    request: &BuildRequest<'_>,
    notes: &mut Vec<String>,
) -> Precision {
    let profile = request.profile;
    let own = profile.graphs.get(&graph).and_then(|own| own.precision);
    match (request.precision, own) {
        (Some(asked), Some(Precision::Fp32)) if !request.scope.is_named() => {
            if asked != Precision::Fp32 {
                notes.push(format!("profile `{}` keeps it in fp32", profile.name));
            }
            Precision::Fp32
        }
        (Some(asked), Some(Precision::Fp32)) if asked != Precision::Fp32 => {
            notes.push(format!(
                "profile `{}` keeps it in fp32; asked for by name, it is built in {asked}",
                profile.name
            ));
            asked
        }
        (Some(asked), _) => asked,
        (None, Some(own)) => own,
        (None, None) => profile.precision,
    }
}

/// A named backend is strict. A graph with a chain of its own keeps it, unless that graph was asked for by name.
pub(super) fn chain_of(
    graph: GraphId,
    request: &BuildRequest<'_>,
    notes: &mut Vec<String>,
) -> Chain {
    let profile = request.profile;
    let own = profile
        .graphs
        .get(&graph)
        .and_then(|own| own.chain.as_ref());
    let Some(backend) = request.backend else {
        return profile.chain_of(graph).clone();
    };
    match own {
        Some(own) if !request.scope.is_named() && !own.links.contains(&backend) => {
            notes.push(format!(
                "profile `{}` gives it backends of its own",
                profile.name
            ));
            own.clone()
        }
        _ => Chain {
            links: vec![backend],
            fallback: Fallback::Never,
        },
    }
}
