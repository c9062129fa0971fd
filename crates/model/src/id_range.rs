//! Which user and group ids of the nodes each project's containers have.
//!
//! One record for all projects, so that no id is had twice. A project keeps its range for good, and
//! nobody gets it after: files with its ids may outlive it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::meta::ProjectId;

/// How many ids a range has: those that a container knows, 0 to 65,535.
pub const IDS: u32 = 65_536;
/// The first id of the first range: above those that people, distributions and
/// `useradd --add-subids-for-system` give out.
pub const FIRST: u32 = 0x0010_0000;
/// The first id that is not given out: from here on some file systems take ids for negative.
pub const END: u32 = 0x7fff_0000;

/// The ranges that were given out. Written by `actions` only.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct IdRanges {
    /// The first id of each project's range.
    ranges: BTreeMap<ProjectId, u32>,
}

impl IdRanges {
    /// The first id of a project's range, where it has one.
    #[must_use]
    pub fn of(&self, project: ProjectId) -> Option<u32> {
        self.ranges.get(&project).copied()
    }

    /// Gives a project the next range; `None` when none is left.
    pub fn give(&mut self, project: ProjectId) -> Option<u32> {
        if let Some(known) = self.of(project) {
            return Some(known);
        }
        // Ranges are never taken back, so that their number says where the next one begins.
        let number = u32::try_from(self.ranges.len()).ok()?;
        let first = number.checked_mul(IDS)?.checked_add(FIRST)?;
        if first > END - IDS {
            return None;
        }
        self.ranges.insert(project, first);
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Id;

    #[test]
    fn ranges_do_not_overlap_and_are_kept() {
        let mut ranges = IdRanges::default();
        let projects: Vec<ProjectId> = (0..100).map(|_| ProjectId(Id::random())).collect();
        let mut given: Vec<u32> = projects
            .iter()
            .map(|project| ranges.give(*project).unwrap())
            .collect();
        assert_eq!(ranges.give(projects[7]), Some(given[7]));
        given.sort_unstable();
        assert!(given.windows(2).all(|pair| pair[0] + IDS <= pair[1]));
        assert_eq!(given[0], FIRST);
    }

    #[test]
    fn there_is_an_end() {
        let mut ranges = IdRanges::default();
        let most = (END - FIRST) / IDS;
        for number in 0..most {
            let mut id = [0; 16];
            id[..4].copy_from_slice(&number.to_be_bytes());
            assert!(ranges.give(ProjectId(Id::from_bytes(id))).is_some());
        }
        assert_eq!(ranges.give(ProjectId(Id::random())), None);
    }
}
