//! ONNX models of a few nodes, encoded here field by field.

use prost::Message;

/// ONNX element types used below.
pub(super) const FLOAT: i32 = 1;
pub(super) const FLOAT16: i32 = 10;

/// `y = tanh(w · x)` with `w` 8×8 and `x` `[batch, 8, frames]`, computed in `dtype` between FP32 ends.
pub(super) fn tanh_of_product(dtype: i32) -> Vec<u8> {
    let bytes_each = if dtype == FLOAT { 4 } else { 2 };
    let weights = Tensor {
        dims: vec![8, 8],
        data_type: dtype,
        name: "w".to_owned(),
        raw_data: vec![0x2e; 64 * bytes_each],
    };
    let nodes = vec![
        Node::cast("narrow", "x", "narrow_x", dtype),
        Node::new("project", "MatMul", &["w", "narrow_x"], "product"),
        Node::new("squash", "Tanh", &["product"], "narrow_y"),
        Node::cast("widen", "narrow_y", "y", FLOAT),
    ];
    model(nodes, vec![weights])
}

/// One node whose operator no parser knows.
pub(super) fn unknown_operator() -> Vec<u8> {
    model(
        vec![Node::new("mystery", "NoSuchOp", &["x"], "y")],
        Vec::new(),
    )
}

fn model(nodes: Vec<Node>, weights: Vec<Tensor>) -> Vec<u8> {
    let port = |name: &str| ValueInfo {
        name: name.to_owned(),
        kind: Some(Kind {
            tensor: Some(TensorKind {
                element: FLOAT,
                shape: Some(Dims {
                    dims: vec![
                        Dim {
                            value: None,
                            param: Some("batch".to_owned()),
                        },
                        Dim {
                            value: Some(8),
                            param: None,
                        },
                        Dim {
                            value: None,
                            param: Some("frames".to_owned()),
                        },
                    ],
                }),
            }),
        }),
    };
    Model {
        ir_version: 8,
        graph: Some(Graph {
            nodes,
            name: "graph".to_owned(),
            weights,
            inputs: vec![port("x")],
            outputs: vec![port("y")],
        }),
        opsets: vec![Opset { version: 17 }],
    }
    .encode_to_vec()
}

impl Node {
    fn new(name: &str, operator: &str, inputs: &[&str], output: &str) -> Self {
        Self {
            inputs: inputs.iter().map(|&input| input.to_owned()).collect(),
            outputs: vec![output.to_owned()],
            name: name.to_owned(),
            operator: operator.to_owned(),
            attributes: Vec::new(),
        }
    }

    fn cast(name: &str, input: &str, output: &str, dtype: i32) -> Self {
        const INT: i32 = 2;
        let attribute = Attribute {
            name: "to".to_owned(),
            integer: dtype.into(),
            kind: INT,
        };
        Self {
            attributes: vec![attribute],
            ..Self::new(name, "Cast", &[input], output)
        }
    }
}

#[derive(Message)]
struct Model {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    #[prost(message, optional, tag = "7")]
    graph: Option<Graph>,
    #[prost(message, repeated, tag = "8")]
    opsets: Vec<Opset>,
}

#[derive(Message)]
struct Opset {
    #[prost(int64, tag = "2")]
    version: i64,
}

#[derive(Message)]
struct Graph {
    #[prost(message, repeated, tag = "1")]
    nodes: Vec<Node>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(message, repeated, tag = "5")]
    weights: Vec<Tensor>,
    #[prost(message, repeated, tag = "11")]
    inputs: Vec<ValueInfo>,
    #[prost(message, repeated, tag = "12")]
    outputs: Vec<ValueInfo>,
}

#[derive(Message)]
struct Node {
    #[prost(string, repeated, tag = "1")]
    inputs: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    outputs: Vec<String>,
    #[prost(string, tag = "3")]
    name: String,
    #[prost(string, tag = "4")]
    operator: String,
    #[prost(message, repeated, tag = "5")]
    attributes: Vec<Attribute>,
}

#[derive(Message)]
struct Attribute {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int64, tag = "3")]
    integer: i64,
    #[prost(int32, tag = "20")]
    kind: i32,
}

#[derive(Message)]
struct Tensor {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(bytes = "vec", tag = "9")]
    raw_data: Vec<u8>,
}

#[derive(Message)]
struct ValueInfo {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    kind: Option<Kind>,
}

#[derive(Message)]
struct Kind {
    #[prost(message, optional, tag = "1")]
    tensor: Option<TensorKind>,
}

#[derive(Message)]
struct TensorKind {
    #[prost(int32, tag = "1")]
    element: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<Dims>,
}

#[derive(Message)]
struct Dims {
    #[prost(message, repeated, tag = "1")]
    dims: Vec<Dim>,
}

#[derive(Message)]
struct Dim {
    #[prost(int64, optional, tag = "1")]
    value: Option<i64>,
    #[prost(string, optional, tag = "2")]
    param: Option<String>,
}
