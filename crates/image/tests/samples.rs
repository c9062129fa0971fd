//! Small archives, made in memory.

use std::io::{Cursor, Write};

use ring::digest::{SHA256, digest as hash};
use serde_json::{Value, json};

/// A tar being written.
pub(crate) struct Tar(tar::Builder<Vec<u8>>);

impl Tar {
    pub(crate) fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    pub(crate) fn raw(mut self, header: &tar::Header, content: &[u8]) -> Self {
        self.0.append(header, content).unwrap();
        self
    }

    /// An entry of any kind; the name is not checked, long ones are written as GNU tar does.
    pub(crate) fn entry(
        self,
        kind: tar::EntryType,
        name: &str,
        link: &str,
        mode: u32,
        content: &[u8],
    ) -> Self {
        let tar = if name.len() > 100 {
            self.long(b'L', name)
        } else {
            self
        };
        let tar = if link.len() > 100 {
            tar.long(b'K', link)
        } else {
            tar
        };
        let header = header(kind, name, link, mode, content.len());
        tar.raw(&header, content)
    }

    fn long(self, kind: u8, text: &str) -> Self {
        let content = [text.as_bytes(), b"\0"].concat();
        let header = header(
            tar::EntryType::new(kind),
            "././@LongLink",
            "",
            0,
            content.len(),
        );
        self.raw(&header, &content)
    }

    pub(crate) fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        self.entry(tar::EntryType::Regular, name, "", 0o644, content.as_ref())
    }

    pub(crate) fn dir(self, name: &str) -> Self {
        self.entry(tar::EntryType::Directory, name, "", 0o755, b"")
    }

    pub(crate) fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(tar::EntryType::Symlink, name, target, 0o777, b"")
    }

    pub(crate) fn hard_link(self, name: &str, target: &str) -> Self {
        self.entry(tar::EntryType::Link, name, target, 0o644, b"")
    }

    /// Extended records for the next entry.
    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut content = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let mut length = rest + 1;
            while length.to_string().len() + rest != length {
                length += 1;
            }
            write!(content, "{length} {key}=").unwrap();
            content.extend_from_slice(value);
            content.push(b'\n');
        }
        let header = header(
            tar::EntryType::XHeader,
            "PaxHeaders/x",
            "",
            0o644,
            content.len(),
        );
        self.raw(&header, &content)
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

/// A GNU header without any check of names.
pub(crate) fn header(
    kind: tar::EntryType,
    name: &str,
    link: &str,
    mode: u32,
    size: usize,
) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1_000_000_000);
    header.set_size(size as u64);
    let fields = header.as_old_mut();
    let length = name.len().min(fields.name.len());
    fields.name[..length].copy_from_slice(&name.as_bytes()[..length]);
    let length = link.len().min(fields.linkname.len());
    fields.linkname[..length].copy_from_slice(&link.as_bytes()[..length]);
    header.set_cksum();
    header
}

pub(crate) fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex::encode(hash(&SHA256, content)))
}

pub(crate) fn hex_of(content: &[u8]) -> String {
    hex::encode(hash(&SHA256, content))
}

pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(content: &[u8]) -> Vec<u8> {
    zstd::encode_all(content, 1).unwrap()
}

/// A layer: its tar, and the same as it travels.
#[derive(Clone)]
pub(crate) struct Layer {
    pub(crate) plain: Vec<u8>,
    pub(crate) packed: Vec<u8>,
}

impl Layer {
    pub(crate) fn plain(tar: Tar) -> Self {
        let plain = tar.bytes();
        Self {
            packed: plain.clone(),
            plain,
        }
    }

    pub(crate) fn gzip(tar: Tar) -> Self {
        let plain = tar.bytes();
        Self {
            packed: gzip(&plain),
            plain,
        }
    }

    pub(crate) fn zstd(tar: Tar) -> Self {
        let plain = tar.bytes();
        Self {
            packed: zstd(&plain),
            plain,
        }
    }
}

/// An image to be put into an archive.
#[derive(Clone)]
pub(crate) struct Sample {
    pub(crate) layers: Vec<Layer>,
    pub(crate) tags: Vec<&'static str>,
    pub(crate) config: Value,
}

impl Sample {
    pub(crate) fn new(layers: Vec<Layer>, tags: &[&'static str]) -> Self {
        let diff_ids: Vec<String> = layers.iter().map(|layer| digest(&layer.plain)).collect();
        let config = json!({
            "created": "2024-05-01T10:00:00Z", "architecture": "amd64", "os": "linux",
            "config": {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": diff_ids.iter().map(|_| json!({"created_by": "ADD"})).collect::<Vec<_>>(),
        });
        Self {
            layers,
            tags: tags.to_vec(),
            config,
        }
    }

    pub(crate) fn config_text(&self) -> Vec<u8> {
        // The odd space shows whether the document is kept byte for byte.
        format!(" {}\n", self.config).into_bytes()
    }

    pub(crate) fn id(&self) -> String {
        digest(&self.config_text())
    }
}

/// A Docker archive: layers first, as `docker save` before 25 wrote them.
pub(crate) fn docker_archive(samples: &[Sample]) -> Vec<u8> {
    let mut tar = Tar::new();
    let mut items = Vec::new();
    for (number, sample) in samples.iter().enumerate() {
        let mut paths = Vec::new();
        for (at, layer) in sample.layers.iter().enumerate() {
            let directory = format!("{number:060}{at:04}");
            tar = tar
                .dir(&format!("{directory}/"))
                .file(&format!("{directory}/VERSION"), "1.0");
            tar = tar
                .file(&format!("{directory}/json"), "{}")
                .file(&format!("{directory}/layer.tar"), &layer.packed);
            paths.push(format!("{directory}/layer.tar"));
        }
        let config = format!("{}.json", hex_of(&sample.config_text()));
        tar = tar.file(&config, sample.config_text());
        items.push(json!({"Config": config, "RepoTags": sample.tags, "Layers": paths}));
    }
    tar.file("manifest.json", Value::from(items).to_string())
        .bytes()
}

/// The blobs of a sample in an OCI layout, and the descriptor of its manifest.
pub(crate) fn oci_blobs(mut tar: Tar, sample: &Sample, layer_type: &str) -> (Tar, Value) {
    let mut layers = Vec::new();
    for layer in &sample.layers {
        tar = tar.file(
            &format!("blobs/sha256/{}", hex_of(&layer.packed)),
            &layer.packed,
        );
        layers.push(json!({"mediaType": layer_type, "digest": digest(&layer.packed), "size": layer.packed.len()}));
    }
    let config = sample.config_text();
    tar = tar.file(&format!("blobs/sha256/{}", hex_of(&config)), &config);
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": sample.id(), "size": config.len()},
        "layers": layers,
    })
    .to_string();
    tar = tar.file(
        &format!("blobs/sha256/{}", hex_of(manifest.as_bytes())),
        &manifest,
    );
    let descriptor = json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": digest(manifest.as_bytes()), "size": manifest.len(),
    });
    (tar, descriptor)
}

/// Ends an OCI layout.
pub(crate) fn oci_index(tar: Tar, manifests: &[Value]) -> Vec<u8> {
    let index = json!({"schemaVersion": 2, "manifests": manifests}).to_string();
    tar.file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#)
        .file("index.json", index)
        .bytes()
}

pub(crate) const GZIP_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// A stream of these bytes.
pub(crate) fn stream(bytes: Vec<u8>) -> Cursor<Vec<u8>> {
    Cursor::new(bytes)
}
