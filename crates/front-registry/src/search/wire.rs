//! What was found, in the words of Docker's hub.
//!
//! Source: moby `api/types/registry`, `SearchResults`. Nobody gives stars here, and nothing is official.

use actions::registry::catalogue::Found;
use serde::Serialize;

/// The answer.
#[derive(Serialize)]
pub(super) struct Document {
    query: String,
    num_results: usize,
    page_size: usize,
    results: Vec<Repository>,
}

#[derive(Serialize)]
struct Repository {
    name: String,
    description: &'static str,
    star_count: u32,
    is_official: bool,
    is_automated: bool,
}

impl Document {
    /// The first `most` of what was found.
    pub(super) fn new(query: &str, found: Vec<Found>, most: usize) -> Self {
        let repository = |found: Found| Repository {
            name: found.name,
            description: if found.public { "public" } else { "" },
            star_count: 0,
            is_official: false,
            is_automated: false,
        };
        Self {
            query: query.to_owned(),
            num_results: found.len(),
            page_size: most,
            results: found.into_iter().take(most).map(repository).collect(),
        }
    }
}
