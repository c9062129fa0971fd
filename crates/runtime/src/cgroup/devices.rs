//! Which devices a container may use: rules of the OCI runtime specification, as lines for
//! version 1 and as a program for version 2.

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

/// One rule; a later one wins over an earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) allow: bool,
    /// `None` is both kinds.
    pub(crate) kind: Option<Kind>,
    /// `None` is any number.
    pub(crate) major: Option<u32>,
    pub(crate) minor: Option<u32>,
    pub(crate) access: Access,
}

/// Kinds of device nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Block,
    Character,
}

/// Read, write and making a node, as bits of `BPF_DEVCG_ACC_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Access(u32);

impl Access {
    const MAKE: u32 = 1;
    const READ: u32 = 2;
    const WRITE: u32 = 4;
    /// All three.
    pub(crate) const ALL: Self = Self(Self::MAKE | Self::READ | Self::WRITE);
    /// Making a node, which harms nothing without the right to open it.
    const ONLY_MAKE: Self = Self(Self::MAKE);

    fn parse(text: &str) -> Self {
        let bits = [('m', Self::MAKE), ('r', Self::READ), ('w', Self::WRITE)];
        Self(
            bits.iter()
                .filter(|(letter, _)| text.contains(*letter))
                .map(|(_, bit)| bit)
                .sum(),
        )
    }

    fn letters(self) -> String {
        let bits = [('r', Self::READ), ('w', Self::WRITE), ('m', Self::MAKE)];
        bits.iter()
            .filter(|(_, bit)| self.0 & bit != 0)
            .map(|(letter, _)| letter)
            .collect()
    }
}

/// The specification's rules, with those for the default devices after them (`config-linux.md`,
/// "Default Devices").
pub(crate) fn rules(of: &[LinuxDeviceCgroup]) -> Vec<Rule> {
    let number = |number: Option<i64>| number.and_then(|number| u32::try_from(number).ok());
    let mut rules: Vec<Rule> = of
        .iter()
        .map(|rule| Rule {
            allow: rule.allow(),
            kind: match rule.typ() {
                Some(LinuxDeviceType::B) => Some(Kind::Block),
                Some(LinuxDeviceType::C | LinuxDeviceType::U) => Some(Kind::Character),
                _ => None,
            },
            major: number(rule.major()),
            minor: number(rule.minor()),
            access: rule.access().as_deref().map_or(Access::ALL, Access::parse),
        })
        .collect();
    if rules.iter().any(|rule| !rule.allow) {
        for default in DEFAULT {
            if !rules.contains(&default) {
                rules.push(default);
            }
        }
    }
    rules
}

const fn character(major: u32, minor: Option<u32>) -> Rule {
    Rule {
        allow: true,
        kind: Some(Kind::Character),
        major: Some(major),
        minor,
        access: Access::ALL,
    }
}

const fn make_any(kind: Kind) -> Rule {
    Rule {
        allow: true,
        kind: Some(kind),
        major: None,
        minor: None,
        access: Access::ONLY_MAKE,
    }
}

/// Device numbers from the kernel's `admin-guide/devices.txt`.
const DEFAULT: [Rule; 11] = [
    make_any(Kind::Character),
    make_any(Kind::Block),
    character(1, Some(3)), // null
    character(1, Some(5)), // zero
    character(1, Some(7)), // full
    character(1, Some(8)), // random
    character(1, Some(9)), // urandom
    character(5, Some(0)), // tty
    character(5, Some(1)), // console
    character(5, Some(2)), // ptmx
    character(136, None),  // pseudo-terminals
];

/// The rule as a line for `devices.allow` or `devices.deny`.
pub(crate) fn line(rule: &Rule) -> String {
    let number =
        |number: Option<u32>| number.map_or_else(|| "*".to_owned(), |number| number.to_string());
    let kind = match rule.kind {
        None => return "a".to_owned(),
        Some(Kind::Block) => 'b',
        Some(Kind::Character) => 'c',
    };
    format!(
        "{kind} {}:{} {}",
        number(rule.major),
        number(rule.minor),
        rule.access.letters()
    )
}

/// The rules as an eBPF program of type `cgroup_device`.
///
/// It looks at the last rule first. The context is `struct bpf_cgroup_dev_ctx`: access in the high
/// and kind in the low half of the first word, then major and minor number.
pub(crate) fn program(rules: &[Rule]) -> Vec<u64> {
    use instruction::{ACCESS, KIND, MAJOR, MINOR, SCRATCH};
    let mut code = vec![
        instruction::load(KIND, 0),
        instruction::copy(ACCESS, KIND),
        instruction::and(KIND, 0xffff),
        instruction::shift_right(ACCESS, 16),
        instruction::load(MAJOR, 4),
        instruction::load(MINOR, 8),
    ];
    for rule in rules.iter().rev() {
        let mut tests = Vec::new();
        if let Some(kind) = rule.kind {
            tests.push((KIND, if kind == Kind::Block { 1 } else { 2 }));
        }
        tests.extend(rule.major.map(|major| (MAJOR, major)));
        tests.extend(rule.minor.map(|minor| (MINOR, minor)));
        let tests_access = rule.access != Access::ALL;
        let decides_all = tests.is_empty() && !tests_access;
        // Every test that fails jumps behind this rule's answer.
        let mut left = tests.len() + if tests_access { 3 } else { 0 } + 2;
        for (register, value) in tests {
            left -= 1;
            code.push(instruction::jump_unless_equal(register, value, left));
        }
        if tests_access {
            if rule.allow {
                // Allowed only if nothing is asked for beyond the rule.
                code.push(instruction::copy(SCRATCH, ACCESS));
                code.push(instruction::and(SCRATCH, !rule.access.0));
                code.push(instruction::jump_unless_equal(SCRATCH, 0, 2));
            } else {
                // Denied if anything of the rule is asked for.
                code.push(instruction::copy(SCRATCH, ACCESS));
                code.push(instruction::and(SCRATCH, rule.access.0));
                code.push(instruction::jump_if_equal(SCRATCH, 0, 2));
            }
        }
        code.push(instruction::answer(rule.allow));
        code.push(instruction::EXIT);
        if decides_all {
            // The kernel refuses a program with instructions that nothing leads to.
            return code;
        }
    }
    code.push(instruction::answer(false));
    code.push(instruction::EXIT);
    code
}

/// eBPF instructions as the kernel packs them (`linux/bpf.h`): code, registers, offset, constant.
mod instruction {
    pub(super) const KIND: u64 = 2;
    pub(super) const ACCESS: u64 = 3;
    pub(super) const MAJOR: u64 = 4;
    pub(super) const MINOR: u64 = 5;
    pub(super) const SCRATCH: u64 = 6;
    const CONTEXT: u64 = 1;
    pub(super) const EXIT: u64 = 0x95;

    const fn pack(code: u64, target: u64, source: u64, offset: u64, constant: u32) -> u64 {
        code | target << 8 | source << 12 | offset << 16 | (constant as u64) << 32
    }

    pub(super) const fn load(target: u64, offset: u64) -> u64 {
        pack(0x61, target, CONTEXT, offset, 0)
    }

    pub(super) const fn copy(target: u64, source: u64) -> u64 {
        pack(0xbc, target, source, 0, 0)
    }

    pub(super) const fn and(target: u64, constant: u32) -> u64 {
        pack(0x54, target, 0, 0, constant)
    }

    pub(super) const fn shift_right(target: u64, bits: u32) -> u64 {
        pack(0x74, target, 0, 0, bits)
    }

    pub(super) const fn jump_unless_equal(register: u64, constant: u32, over: usize) -> u64 {
        pack(0x56, register, 0, over as u64, constant)
    }

    pub(super) const fn jump_if_equal(register: u64, constant: u32, over: usize) -> u64 {
        pack(0x16, register, 0, over as u64, constant)
    }

    pub(super) const fn answer(allow: bool) -> u64 {
        pack(0xb4, 0, 0, 0, allow as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deny_all() -> Rule {
        Rule {
            allow: false,
            kind: None,
            major: None,
            minor: None,
            access: Access::ALL,
        }
    }

    #[test]
    fn rules_are_written_as_the_kernel_reads_them() {
        assert_eq!(line(&deny_all()), "a");
        assert_eq!(line(&character(1, Some(3))), "c 1:3 rwm");
        assert_eq!(line(&make_any(Kind::Block)), "b *:* m");
    }

    #[test]
    fn every_jump_of_the_program_lands_inside() {
        let mut rules = vec![deny_all()];
        rules.extend(DEFAULT);
        let code = program(&rules);
        for (at, instruction) in code.iter().enumerate() {
            if matches!(instruction & 0xff, 0x56 | 0x16) {
                let target = at + 1 + usize::try_from(instruction >> 16 & 0xffff).unwrap();
                assert!(target < code.len(), "jump at {at}");
                assert_eq!(
                    code[target - 1] & 0xff,
                    instruction::EXIT,
                    "jump at {at} lands behind an answer"
                );
            }
        }
    }
}
