//! Several graphs at once, as far as memory and the device go.

use std::num::NonZeroUsize;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// What a task holds while it runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) bytes: u64,
    /// It works on the device, where another task would disturb its timings or take its memory.
    pub(super) device: bool,
}

/// What there is for all tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    /// Tasks that run at once.
    pub(super) jobs: NonZeroUsize,
    /// Host memory; one task alone may need more.
    pub(super) bytes: u64,
    /// Whether tasks may share the device.
    pub(super) shared_device: bool,
}

struct Queue<T> {
    waiting: Vec<(usize, Need, T)>,
    running: Vec<Need>,
    stopped: bool,
}

/// Runs tasks on threads of their own, each as soon as there is room, and gives the results in the order of the tasks.
///
/// A task whose need becomes another tells its [`Hold`]. After a failure no task is begun, and those that run come to their end.
///
/// # Errors
/// The first error in the order of the tasks.
pub(super) fn run_all<T: Send, R: Send, E: Send>(
    tasks: Vec<(Need, T)>,
    room: Room,
    run: impl Fn(T, &mut dyn Hold) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let count = tasks.len();
    let numbered = tasks.into_iter().enumerate();
    let queue = Mutex::new(Queue {
        waiting: numbered
            .map(|(at, (need, task))| (at, need, task))
            .collect(),
        running: Vec::new(),
        stopped: false,
    });
    let (changed, results) = (Condvar::new(), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..room.jobs.get().min(count) {
            scope.spawn(|| {
                while let Some((at, need, task)) = next(&queue, &changed, room) {
                    let mut held = Held {
                        queue: &queue,
                        changed: &changed,
                        room,
                        need,
                    };
                    let result = run(task, &mut held);
                    locked(&queue).stopped |= result.is_err();
                    locked(&results).push((at, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

fn next<T>(queue: &Mutex<Queue<T>>, changed: &Condvar, room: Room) -> Option<(usize, Need, T)> {
    let mut queue = locked(queue);
    loop {
        if queue.stopped || queue.waiting.is_empty() {
            return None;
        }
        let fitting = queue
            .waiting
            .iter()
            .position(|(_, need, _)| queue.fits(*need, room));
        if let Some(first) = fitting {
            let taken = queue.waiting.remove(first);
            queue.running.push(taken.1);
            return Some(taken);
        }
        queue = changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
    }
}

impl<T> Queue<T> {
    fn fits(&self, need: Need, room: Room) -> bool {
        if self.running.is_empty() {
            return true;
        }
        let held: u64 = self.running.iter().map(|other| other.bytes).sum();
        let device_taken = self.running.iter().any(|other| other.device);
        held.saturating_add(need.bytes) <= room.bytes
            && (room.shared_device || !(need.device && device_taken))
    }
}

/// What a task holds of the room.
pub(super) trait Hold {
    /// Holds this instead, as soon as there is room for it.
    ///
    /// Until then nothing is held, so that no two tasks wait for what the other has.
    fn exchange(&mut self, need: Need);
}

/// Ends a task's hold on the room when dropped, also where the task panics.
struct Held<'a, T> {
    queue: &'a Mutex<Queue<T>>,
    changed: &'a Condvar,
    room: Room,
    need: Need,
}

impl<T> Held<'_, T> {
    fn give_back(&self, queue: &mut Queue<T>) {
        if let Some(at) = queue.running.iter().position(|need| *need == self.need) {
            queue.running.swap_remove(at);
        }
    }
}

impl<T> Hold for Held<'_, T> {
    fn exchange(&mut self, need: Need) {
        let mut queue = locked(self.queue);
        self.give_back(&mut queue);
        self.changed.notify_all();
        while !queue.fits(need, self.room) {
            queue = self
                .changed
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
        queue.running.push(need);
        self.need = need;
    }
}

impl<T> Drop for Held<'_, T> {
    fn drop(&mut self) {
        let mut queue = locked(self.queue);
        queue.stopped |= thread::panicking();
        self.give_back(&mut queue);
        drop(queue);
        self.changed.notify_all();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn room(jobs: usize, bytes: u64) -> Room {
        Room {
            jobs: NonZeroUsize::new(jobs).expect("some"),
            bytes,
            shared_device: false,
        }
    }

    fn of(bytes: u64) -> Need {
        Need {
            bytes,
            device: false,
        }
    }

    /// Most tasks that ran at once; each stays until another could have come.
    fn most_at_once(needs: &[Need], room: Room) -> usize {
        most_at_once_with(needs, room, None)
    }

    /// As [`most_at_once`], each with another need from its start on.
    fn most_at_once_with(needs: &[Need], room: Room, later: Option<Need>) -> usize {
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let tasks = needs.iter().map(|need| (*need, ())).collect();
        let done: Result<Vec<()>, ()> = run_all(tasks, room, |(), hold| {
            if let Some(need) = later {
                hold.exchange(need);
            }
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            for _ in 0..1000 {
                thread::yield_now();
            }
            now.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        });
        assert_eq!(done.expect("no error").len(), needs.len());
        most.load(Ordering::SeqCst)
    }

    #[test]
    fn no_more_run_at_once_than_there_is_room_for() {
        let device = Need {
            bytes: 1,
            device: true,
        };
        assert_eq!(most_at_once(&[of(1); 12], room(1, 100)), 1);
        assert!(most_at_once(&[of(1); 12], room(3, 100)) <= 3);
        assert!(most_at_once(&[of(40); 12], room(8, 100)) <= 2);
        assert_eq!(
            most_at_once(&[of(400); 4], room(8, 100)),
            1,
            "alone at least"
        );
        assert_eq!(most_at_once(&[device; 6], room(8, 100)), 1);
        assert!(most_at_once(&[], room(8, 100)) == 0);
    }

    #[test]
    fn a_need_that_grows_waits_for_room() {
        let device = Need {
            bytes: 1,
            device: true,
        };
        let needs = [of(1); 6];
        assert_eq!(most_at_once_with(&needs, room(4, 100), Some(device)), 1);
        assert_eq!(most_at_once_with(&needs, room(4, 100), Some(of(60))), 1);
        assert_eq!(most_at_once_with(&needs, room(4, 100), Some(of(400))), 1);
    }

    #[test]
    fn tasks_that_fit_run_at_once_and_answer_in_order() {
        // Neither passes the barrier alone.
        let meeting = Barrier::new(2);
        let tasks = vec![(of(50), 0), (of(50), 1)];
        let results: Result<Vec<i32>, ()> = run_all(tasks, room(2, 100), |task, _| {
            meeting.wait();
            Ok(10 * task)
        });
        assert_eq!(results, Ok(vec![0, 10]));
    }

    #[test]
    fn a_failure_begins_nothing_and_lets_the_others_end() {
        let (meeting, ended) = (Barrier::new(2), AtomicUsize::new(0));
        let tasks = (0..4).map(|task| (of(1), task)).collect();
        let results: Result<Vec<()>, i32> = run_all(tasks, room(2, 100), |task, _| {
            assert!(task < 2, "task {task} was begun after a failure");
            meeting.wait();
            if task == 0 {
                return Err(task);
            }
            // Ends after the failure was noted: the other thread is gone by then, or about to be.
            for _ in 0..1000 {
                thread::yield_now();
            }
            ended.fetch_add(1, Ordering::SeqCst);
            Err(task)
        });
        assert_eq!(results, Err(0), "the first in order");
        assert_eq!(ended.load(Ordering::SeqCst), 1);
    }
}
