//! Hundreds of inputs that cannot be used: each is refused by name, with the right exit code, and leaves nothing.

mod bundles;
mod files;
mod flags;
mod profiles;
mod recordings;
mod settings;
mod tensors;

use crate::place::{Place, bundle};
use std::ffi::OsString;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Puts an input in place and gives the command line.
type Prepare = Box<dyn Fn(&Place) -> Vec<OsString> + Send + Sync>;

/// One input that cannot be used.
struct Case {
    name: String,
    prepare: Prepare,
    code: i32,
    /// What the message must hold: the file, the flag or the field.
    named: String,
}

/// A refusal takes no time; a loaded machine may.
const TIME_LIMIT: Duration = Duration::from_mins(1);

impl Case {
    fn new(
        name: impl Into<String>,
        named: impl Into<String>,
        prepare: impl Fn(&Place) -> Vec<OsString> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            prepare: Box::new(prepare),
            code: 2,
            named: named.into(),
        }
    }

    /// What is wrong with how the program takes it.
    fn fault(&self) -> Option<String> {
        let place = Place::new().with_time_limit(TIME_LIMIT);
        let arguments = (self.prepare)(&place);
        let before = place.files();
        let run = place.cvtrt(&arguments);
        let left: Vec<_> = place.files().difference(&before).cloned().collect();
        let what = if run.code != Some(self.code) {
            format!("the exit code is {:?}, not {}", run.code, self.code)
        } else if !run.stderr.lines().any(|line| line.starts_with("error: ")) {
            "no line of stderr starts with `error:`".to_owned()
        } else if run.stderr.contains("panicked") {
            "it panicked".to_owned()
        } else if !run.stderr.contains(&self.named) {
            format!("`{}` is not named", self.named)
        } else if !run.stdout.is_empty() {
            "something is on stdout".to_owned()
        } else if !left.is_empty() {
            format!("left behind: {left:?}")
        } else {
            return None;
        };
        let words: Vec<_> = arguments
            .iter()
            .map(|word| word.to_string_lossy())
            .collect();
        let said: String = run.stderr.chars().take(600).collect();
        Some(format!(
            "{}: {what}\n  cvtrt {}\n  {said}",
            self.name,
            words.join(" ")
        ))
    }
}

#[test]
fn every_malformed_input_is_refused_by_name_and_leaves_nothing() {
    let cases: Vec<Case> = [
        flags::cases(),
        settings::cases(),
        bundles::cases(),
        files::cases(),
        profiles::cases(),
        recordings::cases(),
        tensors::cases(),
    ]
    .into_iter()
    .flatten()
    .collect();
    assert!(cases.len() >= 200, "{} cases", cases.len());

    let (next, faults) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let workers = std::thread::available_parallelism().map_or(2, usize::from) + 1;
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Some(fault) = case.fault() {
                        let mut faults = faults.lock().unwrap_or_else(PoisonError::into_inner);
                        faults.push(fault);
                    }
                }
            });
        }
    });
    let faults = faults.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert!(
        faults.is_empty(),
        "{} of {} inputs:\n{}",
        faults.len(),
        cases.len(),
        faults.join("\n")
    );
}

/// A command line where `@` stands for the bundle of the repository.
fn line(words: &[&str]) -> Vec<OsString> {
    let word = |word: &&str| match *word {
        "@" => bundle().into_os_string(),
        word => word.into(),
    };
    words.iter().map(word).collect()
}
