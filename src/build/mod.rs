//! From a bundle and a profile to engines in the cache.
//!
//! [`plan()`] says what is wanted and what the cache has; it compiles nothing. [`execute()`] does the rest: every compile
//! and every first load of an engine happens in a disposable process, [`worker::run`], so that a crash, a hang or an
//! out-of-memory kill in a vendor's code is a typed error of this one.

mod built;
mod cancel;
mod choose;
mod error;
mod evaluate;
mod execute;
mod failure;
mod here;
mod inputs;
mod job;
mod memory;
mod plan;
mod planner;
mod process;
mod progress;
mod rewrite;
mod serving;
mod side_by_side;
mod verdict;
mod verify;
mod wanted;
mod weights;
pub mod worker;
mod workers;

#[cfg(all(test, feature = "testkit"))]
mod tests;

pub use built::{Built, RowState};
pub use cancel::Cancel;
pub use choose::PassedOver;
pub use error::BuildError;
pub use evaluate::{OnBackend, OnProcessor};
pub use execute::execute;
pub use failure::{Failure, WorkerError};
pub use here::{Machine, Standing};
pub use inputs::{Vocabulary, output_slots, output_tensors, random_inputs};
pub use plan::{
    BuildRequest, Plan, PlanState, PlannedGraph, Scope, TimingsAt, plan, plan_to_qualify, preview,
};
pub use process::WorkerCommand;
pub use progress::{Event, Watch};
pub use rewrite::{precision_inputs, prepared, twin};
pub use serving::{Servable, plan_to_serve};
pub use wanted::axis_limits;
pub use weights::{WeightsError, check_weights};
pub use workers::{Deadlines, Jobs, Workers};
