//! `OpenFST`'s binary format.

use super::{Arc, State, Transducer};

/// Why bytes are no transducer.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransducerError {
    /// Another kind of file.
    #[error("it is not a vector transducer over the tropical semiring")]
    Kind,
    /// The file ends too soon, or goes on.
    #[error("it has {bytes} bytes, which is not what its header says")]
    Length {
        /// Bytes there are.
        bytes: usize,
    },
    /// An arc leads nowhere, or its labels are no bytes.
    #[error("arc {arc} is not one over bytes between states of this file")]
    Arc {
        /// Its place in the file.
        arc: usize,
    },
    /// The start is no state.
    #[error("the start is no state of this file")]
    Start,
}

impl Transducer {
    /// Reads `OpenFST`'s binary format, type `vector`, arcs `standard`, without symbol tables.
    pub(in super::super) fn from_bytes(bytes: &[u8]) -> Result<Self, TransducerError> {
        let mut reader = Reader { bytes, at: 0 };
        let length = || TransducerError::Length { bytes: bytes.len() };
        reader.header().ok_or(TransducerError::Kind)?;
        let start = reader.i64().ok_or_else(length)?;
        let state_count = reader.count().ok_or_else(length)?;
        reader.i64().ok_or_else(length)?; // the number of arcs, which some writers leave at 0
        let mut transducer = Self {
            start: u32::try_from(start).map_err(|_| TransducerError::Start)?,
            states: Vec::new(),
            arcs: Vec::new(),
        };
        for _ in 0..state_count {
            reader.state(&mut transducer).ok_or_else(length)??;
        }
        if reader.at != bytes.len() {
            return Err(length());
        }
        transducer.check()?;
        Ok(transducer)
    }

    fn check(&self) -> Result<(), TransducerError> {
        let is_state = |state: u32| (state as usize) < self.states.len();
        if !is_state(self.start) {
            return Err(TransducerError::Start);
        }
        match self.arcs.iter().position(|arc| !is_state(arc.to)) {
            Some(arc) => Err(TransducerError::Arc { arc }),
            None => Ok(()),
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    const MAGIC: i32 = 0x7eb2_fdd6;

    /// Reads the header up to the start state; `None` where it is another kind of file.
    fn header(&mut self) -> Option<()> {
        let is_ours = self.i32()? == Self::MAGIC
            && self.text()? == b"vector"
            && self.text()? == b"standard"
            && self.i32()? == 2 // version
            && self.i32()? == 0; // flags: no symbol tables
        self.i64()?; // properties
        is_ours.then_some(())
    }

    /// Reads a state and its arcs; `None` where the file ends.
    fn state(&mut self, transducer: &mut Transducer) -> Option<Result<(), TransducerError>> {
        let final_weight = self.f32()?;
        let arc_count = self.count()?;
        let first = u32::try_from(transducer.arcs.len()).ok()?;
        for _ in 0..arc_count {
            let (input, output) = (self.i32()?, self.i32()?);
            let (weight, to) = (self.f32()?, self.i32()?);
            let arc = (u8::try_from(input), u8::try_from(output), u32::try_from(to));
            let (Ok(input), Ok(output), Ok(to)) = arc else {
                return Some(Err(TransducerError::Arc {
                    arc: transducer.arcs.len(),
                }));
            };
            transducer.arcs.push(Arc {
                input,
                output,
                weight,
                to,
            });
        }
        let end = u32::try_from(transducer.arcs.len()).ok()?;
        transducer.states.push(State {
            final_weight,
            arcs: (first, end),
        });
        Some(Ok(()))
    }

    fn text(&mut self) -> Option<&[u8]> {
        let length = usize::try_from(self.i32()?).ok()?;
        let text = self.bytes.get(self.at..)?.get(..length)?;
        self.at += length;
        Some(text)
    }

    /// A number of things of at least one byte each, so that no more can follow than bytes do.
    fn count(&mut self) -> Option<usize> {
        usize::try_from(self.i64()?)
            .ok()
            .filter(|&count| count <= self.bytes.len())
    }

    fn i32(&mut self) -> Option<i32> {
        self.array().map(i32::from_le_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    fn f32(&mut self) -> Option<f32> {
        self.array().map(f32::from_le_bytes)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let array = self.bytes.get(self.at..)?.first_chunk()?;
        self.at += N;
        Some(*array)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A state: its final weight, and its arcs as input, output, weight and target.
    type Row<'a> = (f32, &'a [(i32, i32, f32, i32)]);

    /// A file with these states.
    pub(in super::super) fn file(states: &[Row<'_>]) -> Vec<u8> {
        let mut bytes = Reader::MAGIC.to_le_bytes().to_vec();
        for text in ["vector", "standard"] {
            bytes.extend(i32::try_from(text.len()).expect("short").to_le_bytes());
            bytes.extend(text.as_bytes());
        }
        bytes.extend([2_i32, 0].iter().flat_map(|number| number.to_le_bytes()));
        let state_count = i64::try_from(states.len()).expect("few");
        bytes.extend(
            [3, 0, state_count, 0]
                .iter()
                .flat_map(|number| number.to_le_bytes()),
        );
        for (final_weight, arcs) in states {
            bytes.extend(final_weight.to_le_bytes());
            bytes.extend(i64::try_from(arcs.len()).expect("few").to_le_bytes());
            for (input, output, weight, to) in *arcs {
                bytes.extend(
                    [
                        input.to_le_bytes(),
                        output.to_le_bytes(),
                        weight.to_le_bytes(),
                        to.to_le_bytes(),
                    ]
                    .concat(),
                );
            }
        }
        bytes
    }

    const A: i32 = b'a' as i32;

    #[test]
    fn malformed_files_are_told_apart() {
        let whole = file(&[(0.0, &[(A, A, 0.0, 0)])]);
        let error = |bytes: &[u8]| Transducer::from_bytes(bytes).err();
        assert_eq!(error(&whole), None);
        assert_eq!(error(b""), Some(TransducerError::Kind));
        assert_eq!(error(&whole[1..]), Some(TransducerError::Kind));
        for length in 40..whole.len() {
            assert!(error(&whole[..length]).is_some(), "cut to {length} bytes");
        }
        let longer = [whole.as_slice(), &[0]].concat();
        assert_eq!(
            error(&longer),
            Some(TransducerError::Length {
                bytes: longer.len()
            })
        );
        assert_eq!(error(&file(&[])), Some(TransducerError::Start));
        assert_eq!(
            error(&file(&[(0.0, &[(A, A, 0.0, 1)])])),
            Some(TransducerError::Arc { arc: 0 })
        );
        assert_eq!(
            error(&file(&[(0.0, &[(A, 300, 0.0, 0)])])),
            Some(TransducerError::Arc { arc: 0 })
        );
    }
}
