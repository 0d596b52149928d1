//! Weighted transducers over bytes, in the file format of `OpenFST`.

mod file;

pub use file::TransducerError;

use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// A rewriting of byte strings: of all paths that read the input, the lightest one writes the output.
pub(super) struct Transducer {
    start: u32,
    states: Vec<State>,
    arcs: Vec<Arc>,
}

struct State {
    final_weight: f32,
    /// Where its arcs begin and end.
    arcs: (u32, u32),
}

/// An arc; the label 0 reads or writes nothing.
struct Arc {
    input: u8,
    output: u8,
    weight: f32,
    to: u32,
}

/// A state reached after some of the input.
struct Node {
    read: u32,
    state: u32,
    distance: f32,
    /// The node before it on the lightest path, and the arc between them.
    via: Option<(u32, u32)>,
}

impl Transducer {
    /// The output of the lightest path that reads all of `input`; `None` where there is none.
    ///
    /// Of paths with the same weight the one `OpenFST` takes: states are settled in reverse postorder of a depth-first
    /// walk, and only a lighter path replaces an earlier one. The transducer must have no cycle of arcs that read
    /// nothing, or this need not be the lightest path.
    pub(super) fn apply(&self, input: &[u8]) -> Option<Vec<u8>> {
        let mut walk = Walk::over(self, input);
        walk.nodes[0].distance = 0.0;
        let mut best = (f32::INFINITY, None);
        while let Some(node) = walk.postorder.pop() {
            let Node {
                read,
                state,
                distance,
                ..
            } = walk.nodes[node as usize];
            if read as usize == input.len() {
                let total = distance + self.states[state as usize].final_weight;
                if total < best.0 {
                    best = (total, Some(node));
                }
            }
            for index in self.arcs_of(state) {
                let Some(key) = self.step(index, read, input) else {
                    continue;
                };
                let Some(&next) = walk.found.get(&key) else {
                    continue;
                };
                let distance = distance + self.arcs[index as usize].weight;
                let next = &mut walk.nodes[next as usize];
                if distance < next.distance {
                    (next.distance, next.via) = (distance, Some((node, index)));
                }
            }
        }
        let mut output = Vec::new();
        let mut via = walk.nodes[best.1? as usize].via;
        while let Some((node, arc)) = via {
            output.push(self.arcs[arc as usize].output);
            via = walk.nodes[node as usize].via;
        }
        output.retain(|&label| label != 0);
        output.reverse();
        Some(output)
    }

    fn arcs_of(&self, state: u32) -> std::ops::Range<u32> {
        let (first, end) = self.states[state as usize].arcs;
        first..end
    }

    /// Where an arc leads from a node that has read `read` bytes; `None` where it reads another byte than the next.
    fn step(&self, arc: u32, read: u32, input: &[u8]) -> Option<(u32, u32)> {
        let arc = &self.arcs[arc as usize];
        match arc.input {
            0 => Some((read, arc.to)),
            label => (input.get(read as usize) == Some(&label)).then_some((read + 1, arc.to)),
        }
    }
}

/// Every node reachable over an input.
struct Walk {
    nodes: Vec<Node>,
    /// Node by bytes read and state.
    found: HashMap<(u32, u32), u32>,
    postorder: Vec<u32>,
}

impl Walk {
    fn over(transducer: &Transducer, input: &[u8]) -> Self {
        let mut walk = Self {
            nodes: Vec::new(),
            found: HashMap::new(),
            postorder: Vec::new(),
        };
        let mut open = Vec::new();
        open.extend(
            walk.visit((0, transducer.start))
                .map(|node| (node, transducer.arcs_of(transducer.start))),
        );
        while let Some((node, arcs)) = open.last_mut() {
            let read = walk.nodes[*node as usize].read;
            let next = arcs.find_map(|arc| {
                transducer
                    .step(arc, read, input)
                    .and_then(|key| walk.visit(key))
            });
            if let Some(next) = next {
                let state = walk.nodes[next as usize].state;
                open.push((next, transducer.arcs_of(state)));
            } else {
                walk.postorder.push(*node);
                open.pop();
            }
        }
        walk
    }

    /// A node for the key, where there was none.
    fn visit(&mut self, key: (u32, u32)) -> Option<u32> {
        let Entry::Vacant(entry) = self.found.entry(key) else {
            return None;
        };
        let node =
            u32::try_from(self.nodes.len()).expect("a clause reaches far fewer than 2^32 nodes");
        entry.insert(node);
        self.nodes.push(Node {
            read: key.0,
            state: key.1,
            distance: f32::INFINITY,
            via: None,
        });
        Some(node)
    }
}

#[cfg(test)]
mod tests {
    use super::file::tests::file;
    use super::*;

    const A: i32 = b'a' as i32;
    const NEVER: f32 = f32::INFINITY;

    #[test]
    fn the_lightest_path_writes_the_output() {
        let arcs = [(A, 120, 0.5, 1), (A, 121, 0.4999, 1), (A, 122, 0.5, 1)];
        let states: &[(f32, &[_])] = &[(NEVER, &arcs), (0.0, &[(0, 33, 0.0, 2)]), (-1.0, &[])];
        let transducer = Transducer::from_bytes(&file(states)).expect("a transducer");
        assert_eq!(transducer.apply(b"a").as_deref(), Some(b"y!".as_slice()));
        assert_eq!(transducer.apply(b"b"), None, "no path reads b");
        assert_eq!(transducer.apply(b"aa"), None, "no path reads a second a");
        assert_eq!(transducer.apply(b""), None, "the start is not final");
    }

    #[test]
    fn of_equal_paths_the_later_branch_wins_as_in_openfst() {
        let branches = [(A, 120, 0.0, 1), (A, 121, 0.0, 2)];
        let states: &[(f32, &[_])] = &[
            (NEVER, &branches),
            (NEVER, &[(0, 0, 0.0, 3)]),
            (NEVER, &[(0, 0, 0.0, 3)]),
            (0.0, &[]),
        ];
        let transducer = Transducer::from_bytes(&file(states)).expect("a transducer");
        assert_eq!(transducer.apply(b"a").as_deref(), Some(b"y".as_slice()));
    }

    #[test]
    fn a_cycle_that_reads_nothing_ends() {
        let states: &[(f32, &[_])] = &[(0.0, &[(0, 120, 0.0, 0)])];
        let transducer = Transducer::from_bytes(&file(states)).expect("a transducer");
        assert_eq!(transducer.apply(b"").as_deref(), Some(b"".as_slice()));
    }
}
