//! Contexts beside the main one: a request says what a name in a Dockerfile stands for.
//!
//! Such a name is looked up where a stage begins and where files are taken from; a stage of that name
//! is replaced whole. Source: BuildKit v0.24, `frontend/dockerui/namedcontext.go`,
//! `frontend/dockerfile/dockerfile2llb/convert.go`.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::try_join_all;
use image::reference::Reference;
use image::{StepLayer, Store};

use crate::context::{Context, ContextError};
use crate::dockerfile::Dockerfile;

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// An image, by its own name.
    Image(String),
    /// An image that another build led to, by its id (`sha256:...`): it need not be listed.
    Built(String),
    /// Files, whose archive comes under the same name with [`Files::named`](crate::Files::named).
    Directory,
}

/// What a name of a Dockerfile stands for, and the name as the request has it.
pub(crate) fn find<'a>(
    contexts: &'a BTreeMap<String, Named>,
    written: &str,
) -> Option<(&'a String, &'a Named)> {
    if contexts.is_empty() || matches!(written, "scratch" | "context") {
        return None;
    }
    let name = Reference::parse(written).map_or_else(
        // Stages may be written in capitals, images may not.
        |_| written.to_ascii_lowercase(),
        |name| name.familiar(),
    );
    contexts.get_key_value(name.strip_suffix(":latest").unwrap_or(&name))
}

/// Has stages that a context replaces begin with it, and do nothing more.
pub(crate) fn replace(file: &mut Dockerfile, contexts: &BTreeMap<String, Named>) {
    for stage in &mut file.stages {
        let name = stage.name.as_deref().unwrap_or_default();
        if let Some((name, _)) = find(contexts, name) {
            stage.base.clone_from(name);
            stage.from.flags = crate::dockerfile::Flags::default();
            stage.instructions.clear();
        }
    }
}

/// Takes the files of directories, all at once: a client that waits with one may send none of the others.
pub(crate) async fn receive(
    store: &Store,
    archives: BTreeMap<String, StepLayer>,
) -> Result<BTreeMap<String, Arc<Context>>, ContextError> {
    let each = archives.into_iter().map(async |(name, archive)| {
        let context = Context::receive(store, archive, None).await?;
        Ok::<_, ContextError>((name, Arc::new(context)))
    });
    Ok(try_join_all(each).await?.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dockerfile::parse;

    #[test]
    fn a_name_is_found_as_images_are_written_and_replaces_a_stage() {
        let contexts = BTreeMap::from([
            ("alpine".to_owned(), Named::Image("local/base:1".to_owned())),
            ("local:5000/a:2".to_owned(), Named::Directory),
            ("made".to_owned(), Named::Directory),
        ]);
        let found = |written| find(&contexts, written).map(|(name, _)| name.as_str());
        for written in ["alpine", "alpine:latest", "docker.io/library/alpine"] {
            assert_eq!(found(written), Some("alpine"), "{written}");
        }
        assert_eq!(found("alpine:3"), None);
        assert_eq!(found("local:5000/a:2"), Some("local:5000/a:2"));
        assert_eq!(found("MADE"), Some("made"));
        assert_eq!(found("scratch"), None);

        let mut file = parse(b"FROM a AS made\nRUN x\nFROM b\nCOPY --from=made /a /b\n").unwrap();
        replace(&mut file, &contexts);
        assert_eq!(file.stages[0].base, "made");
        assert!(file.stages[0].instructions.is_empty());
        assert_eq!(file.stages[1].instructions.len(), 1);
    }
}
