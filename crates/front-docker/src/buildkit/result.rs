//! Results of builds that other builds of the same client begin with: `target:` in a bake file, and
//! `service:` among Compose's contexts.
//!
//! A client carries them as graphs of operations, which it does not look into. Ours have one operation,
//! a source that names the image. Source: BuildKit v0.24, `solver/pb/ops.proto`, `client/llb/definition.go`.

use bollard_buildkit_proto::pb::{Definition, Input, Op, OpMetadata, SourceOp, op};
use prost::Message;
use ring::digest::{SHA256, digest};
use tonic::Status;

/// How the source is spelled, before the image's id.
const SOURCE: &str = "longshore-image://";

/// A graph that stands for the image with this id.
pub(super) fn definition(id: &str) -> Definition {
    let source = Op {
        op: Some(op::Op::Source(SourceOp {
            identifier: format!("{SOURCE}{id}"),
            ..SourceOp::default()
        })),
        ..Op::default()
    };
    let source = source.encode_to_vec();
    let name = format!("sha256:{}", hex::encode(digest(&SHA256, &source)));
    // The last operation only says which one's output is meant.
    let last = Op {
        inputs: vec![Input {
            digest: name.clone(),
            index: 0,
        }],
        ..Op::default()
    };
    Definition {
        def: vec![source, last.encode_to_vec()],
        // QUIRK(buildx 0.36): a graph without any is none.
        metadata: [(name, OpMetadata::default())].into(),
        ..Definition::default()
    }
}

/// The id of the image that a graph of ours stands for.
pub(super) fn image(name: &str, graph: &Definition) -> Result<String, Status> {
    let mut ids = graph.def.iter().filter_map(|bytes| {
        let op = Op::decode(bytes.as_slice()).ok()?;
        match op.op? {
            op::Op::Source(source) => source.identifier.strip_prefix(SOURCE).map(str::to_owned),
            _ => None,
        }
    });
    match (ids.next(), graph.def.len()) {
        (Some(id), 1 | 2) => Ok(id),
        _ => Err(Status::unimplemented(format!(
            "FrontendInputs: {name} is a graph of operations (LLB), which is not supported"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_comes_back_and_other_graphs_are_refused() {
        let graph = definition("sha256:0123");
        assert_eq!(image("base", &graph).unwrap(), "sha256:0123");
        let last = Op::decode(graph.def[1].as_slice()).unwrap();
        assert!(last.inputs[0].digest.starts_with("sha256:"));
        let other = Definition {
            def: vec![vec![1, 2, 3]],
            ..Definition::default()
        };
        let error = image("base", &other).unwrap_err();
        assert!(error.message().contains("base is a graph"), "{error}");
    }
}
