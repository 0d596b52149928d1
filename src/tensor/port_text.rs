//! Ports written as text, as manifests keep them: `mel f32 [1, 80, frames]`.

use super::{DType, Dim, Port, Signature};
use std::str::FromStr;

/// A text that is no port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no tensor such as `mel f32 [1, 80, frames]`")]
pub struct NoPort(pub String);

impl Signature {
    /// Reads what [`Port`] prints, for every input and output.
    ///
    /// # Errors
    /// [`NoPort`] naming the first text that is none.
    pub fn from_text(inputs: &[String], outputs: &[String]) -> Result<Self, NoPort> {
        let read = |ports: &[String]| {
            ports
                .iter()
                .map(|text| text.parse())
                .collect::<Result<_, _>>()
        };
        Ok(Self {
            inputs: read(inputs)?,
            outputs: read(outputs)?,
        })
    }
}

impl FromStr for Port {
    type Err = NoPort;

    fn from_str(text: &str) -> Result<Self, NoPort> {
        parse(text).ok_or_else(|| NoPort(text.to_owned()))
    }
}

/// A name may hold spaces, and so may a foreign dimension; brackets and commas only come as written here.
fn parse(text: &str) -> Option<Port> {
    let (front, dims) = text.strip_suffix(']')?.rsplit_once(" [")?;
    let (name, dtype) = front.rsplit_once(' ')?;
    let dtype = DType::ALL.into_iter().find(|one| one.as_str() == dtype)?;
    let dims = match dims {
        "" => Vec::new(),
        dims => dims.split(", ").map(dim).collect(),
    };
    Some(Port {
        name: name.to_owned(),
        dtype,
        dims,
    })
}

fn dim(text: &str) -> Dim {
    text.parse()
        .map_or_else(|_| Dim::from_param(text), Dim::Fixed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_reads_as_it_prints() {
        for text in [
            "mel f32 [1, 80, frames]",
            "source_pad f32 [1, 1, 480*frames+16]",
            "past_k_0 bf16 [batch, 2, past, 64]",
            "odd name i32 [n x]",
            "scalar bool []",
        ] {
            let port: Port = text.parse().expect(text);
            assert_eq!(port.to_string(), text);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "mel", "mel f32", "mel f99 [1]", "f32 [1]", "mel f32 [1"] {
            assert_eq!(text.parse::<Port>(), Err(NoPort(text.to_owned())));
        }
    }
}
