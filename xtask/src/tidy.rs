//! `cargo xtask tidy`: checks what the compiler does not.
//!
//! Who may use whom, headers, names and sizes of files, lints that every crate takes over, paths
//! that documents name, how many packages are locked and under which licences.

mod documents;
mod files;
mod packages;

use anyhow::{Result, bail};

use crate::step;

/// Runs every check and tells everything that is wrong at once.
///
/// # Errors
/// When something is wrong.
pub(crate) fn run() -> Result<()> {
    step::show("tidy");
    let metadata = cargo_metadata::MetadataCommand::new()
        .current_dir(step::workspace())
        .exec()?;
    let mut wrong = Vec::new();
    packages::check(&metadata, &mut wrong)?;
    files::check(step::workspace(), &mut wrong)?;
    documents::check(step::workspace(), &mut wrong)?;
    if wrong.is_empty() {
        return Ok(());
    }
    bail!(
        "{} things are not tidy:\n  {}",
        wrong.len(),
        wrong.join("\n  ")
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_house_is_tidy() {
        super::run().expect("run `cargo xtask tidy`");
    }
}
