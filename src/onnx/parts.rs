//! How many objects a serialised model would become, counted before it is decoded.
//!
//! An empty node is two bytes in the file and hundreds in memory, so that the size of a file bounds nothing. This walk
//! over the wire format allocates nothing that grows with the file.

use prost::decode_length_delimiter;

/// Most parts a model may have; each becomes at most some 250 bytes of memory.
pub(super) const LIMIT: u64 = 4_000_000;

/// Whether decoding would make more than [`LIMIT`] parts.
///
/// A malformed message is within the limit as far as it can be read; the decoder refuses it.
pub(super) fn exceed_limit(bytes: &[u8]) -> bool {
    count_parts(bytes) > LIMIT
}

/// Messages of `onnx.proto` that hold other messages without bound.
#[derive(Debug, Clone, Copy)]
enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    SparseTensor,
    Function,
    Training,
    ValueInfo,
    Entry,
}

/// What the bytes of a length-delimited field become.
enum Content {
    /// A message walked in turn.
    Message(Message),
    /// Text, raw data or fixed-width numbers: no larger in memory than in the file.
    Bulk,
    /// Small messages or variable-width numbers: at least four bytes each on average are taken as one part.
    Dense,
}

const BYTES_PER_DENSE_PART: u64 = 4;
/// The decoder's own limit of nesting.
const MAX_DEPTH: usize = 100;

impl Message {
    fn content(self, field: usize) -> Content {
        use Content::{Bulk, Dense};
        let message = match (self, field) {
            (Self::Model, 7) | (Self::Training, 1 | 2) | (Self::Attribute, 6 | 11) => Self::Graph,
            (Self::Model, 25) => Self::Function,
            (Self::Model, 20) => Self::Training,
            (Self::Graph, 1) | (Self::Function, 7) => Self::Node,
            (Self::Node, 5) | (Self::Function, 11) => Self::Attribute,
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) | (Self::SparseTensor, 1 | 2) => {
                Self::Tensor
            }
            (Self::Graph, 15) | (Self::Attribute, 22 | 23) => Self::SparseTensor,
            (Self::Graph, 11..=13) | (Self::Function, 12) => Self::ValueInfo,
            (Self::Model | Self::Function, 14)
            | (Self::Graph, 16)
            | (Self::Node, 9)
            | (Self::Tensor, 13 | 16)
            | (Self::Training, 3 | 4)
            | (Self::ValueInfo, 4) => Self::Entry,
            (Self::Model, 2..=4 | 6)
            | (Self::Graph, 2 | 10)
            | (Self::Node, 1..=4 | 6..=8)
            | (Self::Attribute, 1 | 4 | 7 | 9 | 13 | 21)
            | (Self::Tensor, 4 | 6 | 8..=10 | 12)
            | (Self::Function, 1 | 4..=6 | 8 | 10 | 13)
            | (Self::ValueInfo, 1 | 3)
            | (Self::Entry, _) => return Bulk,
            _ => return Dense,
        };
        Content::Message(message)
    }
}

fn count_parts(bytes: &[u8]) -> u64 {
    let mut parts = 0;
    let mut open = vec![(Message::Model, bytes)];
    while let Some((message, rest)) = open.last_mut() {
        let message = *message;
        let (field, content) = match next_field(rest) {
            Ok(Some(field)) => field,
            // What is cut or malformed the decoder refuses by itself.
            Ok(None) => {
                open.pop();
                continue;
            }
            Err(Group) => return LIMIT + 1,
        };
        parts += 1;
        match message.content(field) {
            Content::Message(inner) if open.len() < MAX_DEPTH => open.push((inner, content)),
            Content::Message(_) | Content::Dense => {
                parts += content.len() as u64 / BYTES_PER_DENSE_PART;
            }
            Content::Bulk => {}
        }
        if parts > LIMIT {
            break;
        }
    }
    parts
}

/// A group, which ONNX never uses. The decoder skips one without a word, so what lies behind it would go uncounted.
struct Group;

const WIRE_VARINT: usize = 0;
const WIRE_64: usize = 1;
const WIRE_LENGTH: usize = 2;
const WIRE_GROUP_START: usize = 3;
const WIRE_GROUP_END: usize = 4;
const WIRE_32: usize = 5;

/// Takes one field off `rest`: its number, and its bytes where it has a length. `None` at the end, and where the rest
/// is no field.
fn next_field<'a>(rest: &mut &'a [u8]) -> Result<Option<(usize, &'a [u8])>, Group> {
    let Ok(key) = decode_length_delimiter(&mut *rest) else {
        return Ok(None);
    };
    let length = match key & 7 {
        WIRE_VARINT => decode_length_delimiter(&mut *rest).ok().map(|_| 0),
        WIRE_64 => Some(8),
        WIRE_32 => Some(4),
        WIRE_LENGTH => decode_length_delimiter(&mut *rest).ok(),
        WIRE_GROUP_START | WIRE_GROUP_END => return Err(Group),
        _ => None,
    };
    let Some((content, after)) = length.and_then(|length| rest.split_at_checked(length)) else {
        return Ok(None);
    };
    *rest = after;
    let content = if key & 7 == WIRE_LENGTH { content } else { &[] };
    Ok(Some((key >> 3, content)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::proto::{GraphProto, ModelProto, NodeProto, TensorProto};
    use prost::Message as _;

    #[test]
    fn a_group_hides_nothing() {
        let mut bytes = vec![0xa3, 0x06, 0xa4, 0x06];
        bytes.extend(model(GraphProto::default()));
        assert!(count_parts(&bytes) > LIMIT);
    }

    fn model(graph: GraphProto) -> Vec<u8> {
        let graph = Some(graph);
        ModelProto {
            graph,
            ..ModelProto::default()
        }
        .encode_to_vec()
    }

    #[test]
    fn weights_are_one_part_however_large() {
        let tensor = |len: usize| TensorProto {
            raw_data: Some(vec![0; len].into()),
            ..TensorProto::default()
        };
        let graph = |len| GraphProto {
            initializer: vec![tensor(len)],
            ..GraphProto::default()
        };
        assert_eq!(count_parts(&model(graph(1 << 20))), 3);
        assert_eq!(count_parts(&model(graph(1))), 3);
    }

    #[test]
    fn a_flood_of_empty_nodes_is_seen() {
        let count = usize::try_from(LIMIT).expect("fits") + 1;
        let mut nodes = Vec::with_capacity(2 * count);
        for _ in 0..count {
            nodes.extend([0x0a, 0]);
        }
        let mut bytes = vec![0x3a];
        prost::encode_length_delimiter(nodes.len(), &mut bytes).expect("a vector grows");
        bytes.extend(nodes);
        assert!(exceed_limit(&bytes));
    }

    #[test]
    fn an_ordinary_model_is_far_below() {
        let node = NodeProto {
            input: vec!["x".to_owned(), "w".to_owned()],
            output: vec!["y".to_owned()],
            ..NodeProto::default()
        };
        let graph = GraphProto {
            node: vec![node; 5000],
            ..GraphProto::default()
        };
        assert_eq!(count_parts(&model(graph)), 1 + 5000 * 4);
    }
}
