//! From rules to classic BPF, as the kernel's `seccomp_filter` documentation describes it.
//!
//! The numbers of an architecture are cut into ranges of one verdict, and a range is found by
//! halving.

use std::collections::BTreeMap;

use super::SeccompError;
use super::profile::{Condition, Operator, Rule, Rules};
use super::program::{JUMP_EQUAL, JUMP_GREATER, JUMP_GREATER_OR_EQUAL, Program, Target};
use super::table::Architecture;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

const RET_KILL_PROCESS: u32 = 0x8000_0000;
const RET_ERRNO: u32 = 0x0005_0000;
const RET_ACTION_MASK: u32 = 0xffff_0000;
const ENOSYS: u32 = 38;

/// The most instructions that the kernel takes.
const MOST_INSTRUCTIONS: usize = 4096;

/// What becomes of a call: alternatives in order, then what is left.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Verdict {
    alternatives: Vec<(Vec<Condition>, u32)>,
    action: u32,
}

/// Compiles rules to the bytes that [`crate::sys::seccomp::install`] takes.
pub(super) fn assemble(rules: &Rules) -> Result<Vec<u8>, SeccompError> {
    let mut program = Program::default();
    // Calls of an architecture without rules would go by numbers that mean something else.
    let mut others = program.give(RET_KILL_PROCESS);
    for architecture in rules.architectures.iter().rev() {
        let search = search(&mut program, &ranges(rules, *architecture));
        let search = program.load(NUMBER, search);
        others = program.compare(JUMP_EQUAL, architecture.audit(), search, others);
    }
    program.load(ARCHITECTURE, others);
    if program.len() > MOST_INSTRUCTIONS {
        return Err(SeccompError::TooLong(program.len()));
    }
    Ok(program.bytes())
}

/// First number and verdict of each range, ascending from 0.
fn ranges(rules: &Rules, architecture: Architecture) -> Vec<(u32, Verdict)> {
    let mut by_number: BTreeMap<u32, Verdict> = BTreeMap::new();
    let default = Verdict {
        alternatives: Vec::new(),
        action: rules.default,
    };
    let mut decided: BTreeMap<u32, ()> = BTreeMap::new();
    for Rule {
        names,
        action,
        conditions,
    } in &rules.rules
    {
        for number in names.iter().filter_map(|name| architecture.number(name)) {
            if decided.contains_key(&number) {
                continue;
            }
            let verdict = by_number.entry(number).or_insert_with(|| default.clone());
            if conditions.is_empty() {
                verdict.action = *action;
                decided.insert(number, ());
            } else if *action != rules.default {
                verdict.alternatives.push((conditions.clone(), *action));
            }
        }
    }
    // Alternatives that change nothing would only cost time.
    for verdict in by_number.values_mut() {
        let action = verdict.action;
        if verdict
            .alternatives
            .iter()
            .all(|(_, alternative)| *alternative == action)
        {
            verdict.alternatives.clear();
        }
    }
    // A call newer than the profile "does not exist", so that the C library falls back to an older
    // one; "not permitted" would be an answer.
    let newest = by_number.keys().next_back().copied();
    let beyond = match newest {
        Some(_) if rules.default & RET_ACTION_MASK == RET_ERRNO => Verdict {
            alternatives: Vec::new(),
            action: RET_ERRNO | ENOSYS,
        },
        _ => default.clone(),
    };
    let mut ranges: Vec<(u32, Verdict)> = Vec::new();
    let mut add = |start: u32, verdict: &Verdict| {
        if ranges.last().is_none_or(|(_, last)| last != verdict) {
            ranges.push((start, verdict.clone()));
        }
    };
    let mut next = 0;
    for (number, verdict) in &by_number {
        if *number > next {
            add(next, &default);
        }
        add(*number, verdict);
        next = number + 1;
    }
    add(next, &beyond);
    ranges
}

/// Finds the range of the loaded number by halving.
fn search(program: &mut Program, ranges: &[(u32, Verdict)]) -> Target {
    let (lower, upper) = ranges.split_at(ranges.len() / 2);
    match (lower, upper) {
        ([], [(_, verdict), ..]) => decide(program, verdict),
        ([..], [(middle, _), ..]) => {
            let above = search(program, upper);
            let below = search(program, lower);
            program.compare(JUMP_GREATER_OR_EQUAL, *middle, above, below)
        }
        // Ranges begin at 0, so there is one.
        ([..], []) => program.give(RET_KILL_PROCESS),
    }
}

/// Tries the alternatives of a verdict, then gives its action.
fn decide(program: &mut Program, verdict: &Verdict) -> Target {
    let mut next = program.give(verdict.action);
    for (conditions, action) in verdict.alternatives.iter().rev() {
        let mut holds = program.give(*action);
        for condition in conditions.iter().rev() {
            holds = test(program, condition, holds, next);
        }
        next = holds;
    }
    next
}

/// Tests one condition; arguments have 64 bits, the machine has 32.
fn test(program: &mut Program, condition: &Condition, holds: Target, fails: Target) -> Target {
    let at = ARGUMENTS + 8 * u32::from(condition.argument);
    let (low_at, high_at) = if cfg!(target_endian = "little") {
        (at, at + 4)
    } else {
        (at + 4, at)
    };
    let [high, low] = halves(condition.value);
    match condition.operator {
        Operator::Equal => {
            let low = program.compare(JUMP_EQUAL, low, holds, fails);
            let low = program.load(low_at, low);
            let high = program.compare(JUMP_EQUAL, high, low, fails);
            program.load(high_at, high)
        }
        Operator::NotEqual => {
            let low = program.compare(JUMP_EQUAL, low, fails, holds);
            let low = program.load(low_at, low);
            let high = program.compare(JUMP_EQUAL, high, low, holds);
            program.load(high_at, high)
        }
        Operator::MaskedEqual(mask) => {
            let [mask_high, mask_low] = halves(mask);
            let low = program.compare(JUMP_EQUAL, low, holds, fails);
            let low = program.and(mask_low, low);
            let low = program.load(low_at, low);
            let high = program.compare(JUMP_EQUAL, high, low, fails);
            let high = program.and(mask_high, high);
            program.load(high_at, high)
        }
        Operator::Greater | Operator::GreaterOrEqual => {
            let last = if condition.operator == Operator::Greater {
                JUMP_GREATER
            } else {
                JUMP_GREATER_OR_EQUAL
            };
            let low = program.compare(last, low, holds, fails);
            let low = program.load(low_at, low);
            let equal = program.compare(JUMP_EQUAL, high, low, fails);
            let high = program.compare(JUMP_GREATER, high, holds, equal);
            program.load(high_at, high)
        }
        Operator::Less | Operator::LessOrEqual => {
            let last = if condition.operator == Operator::Less {
                JUMP_GREATER_OR_EQUAL
            } else {
                JUMP_GREATER
            };
            let low = program.compare(last, low, fails, holds);
            let low = program.load(low_at, low);
            let equal = program.compare(JUMP_EQUAL, high, low, holds);
            let high = program.compare(JUMP_GREATER, high, fails, equal);
            program.load(high_at, high)
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the halves are what is wanted"
)]
const fn halves(value: u64) -> [u32; 2] {
    [(value >> 32) as u32, value as u32]
}

#[cfg(test)]
mod tests {
    use super::super::program::{AND, Instruction, JUMP, LOAD, RETURN};
    use super::*;

    /// Runs a filter as the kernel would.
    fn run(program: &[u8], audit: u32, number: u32, args: [u64; 6]) -> u32 {
        let code: Vec<Instruction> = program
            .chunks(8)
            .map(|b| Instruction {
                code: u16::from_ne_bytes([b[0], b[1]]),
                if_true: b[2],
                if_false: b[3],
                constant: u32::from_ne_bytes([b[4], b[5], b[6], b[7]]),
            })
            .collect();
        let word = |offset: u32| match offset {
            NUMBER => number,
            ARCHITECTURE => audit,
            offset => {
                let argument = args[((offset - ARGUMENTS) / 8) as usize];
                halves(argument)[usize::from(offset % 8 == 0)]
            }
        };
        let (mut at, mut register) = (0, 0);
        loop {
            let Instruction {
                code,
                if_true,
                if_false,
                constant,
            } = code[at];
            at += 1;
            let mut branch =
                |taken: bool| at += usize::from(if taken { if_true } else { if_false });
            match code {
                LOAD => register = word(constant),
                AND => register &= constant,
                JUMP => at += constant as usize,
                JUMP_EQUAL => branch(register == constant),
                JUMP_GREATER => branch(register > constant),
                JUMP_GREATER_OR_EQUAL => branch(register >= constant),
                RETURN => return constant,
                other => panic!("code {other:#x}"),
            }
        }
    }

    const ALLOW: u32 = 0x7fff_0000;
    const EPERM: u32 = RET_ERRNO | 1;
    const X86_64: u32 = 0xc000_003e;

    fn one_call(operator: Operator, value: u64) -> Vec<u8> {
        let conditions = vec![Condition {
            argument: 1,
            operator,
            value,
        }];
        let rules = vec![Rule {
            names: vec!["read".to_owned()],
            action: ALLOW,
            conditions,
        }];
        assemble(&Rules {
            default: EPERM,
            architectures: vec![Architecture::X86_64],
            rules,
        })
        .unwrap()
    }

    #[test]
    fn every_operator_compares_all_64_bits() {
        let values = [
            0,
            1,
            5,
            u64::from(u32::MAX),
            1 << 32,
            (1 << 32) + 5,
            u64::MAX,
        ];
        for value in values {
            for argument in values {
                let cases = [
                    (Operator::Equal, argument == value),
                    (Operator::NotEqual, argument != value),
                    (Operator::Less, argument < value),
                    (Operator::LessOrEqual, argument <= value),
                    (Operator::Greater, argument > value),
                    (Operator::GreaterOrEqual, argument >= value),
                    (Operator::MaskedEqual(0xff), argument & 0xff == value),
                ];
                for (operator, holds) in cases {
                    let answer = run(
                        &one_call(operator, value),
                        X86_64,
                        0,
                        [9, argument, 9, 9, 9, 9],
                    );
                    assert_eq!(answer == ALLOW, holds, "{argument} {operator:?} {value}");
                }
            }
        }
    }

    fn default_filter(capabilities: &[&str]) -> Vec<u8> {
        let capabilities: Vec<String> = capabilities.iter().map(|&name| name.to_owned()).collect();
        super::super::default_filter(&capabilities).unwrap()
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_default_profile_decides_as_docker_does() {
        let filter = default_filter(&["CAP_CHOWN"]);
        let call = |name: &str, args: [u64; 6]| {
            run(
                &filter,
                X86_64,
                Architecture::X86_64.number(name).unwrap(),
                args,
            )
        };
        let none = [0; 6];
        assert_eq!(call("read", none), ALLOW);
        assert_eq!(call("mount", none), EPERM);
        assert_eq!(call("clone3", none), RET_ERRNO | ENOSYS);
        assert_eq!(call("clone", none), ALLOW);
        assert_eq!(
            call("clone", [0x1000_0000, 0, 0, 0, 0, 0]),
            EPERM,
            "a user namespace"
        );
        assert_eq!(call("socket", [2, 0, 0, 0, 0, 0]), ALLOW);
        assert_eq!(call("socket", [38, 0, 0, 0, 0, 0]), EPERM, "AF_ALG");
        assert_eq!(call("socket", [40, 0, 0, 0, 0, 0]), EPERM, "AF_VSOCK");
        assert_eq!(call("personality", [8, 0, 0, 0, 0, 0]), ALLOW);
        assert_eq!(call("personality", [9, 0, 0, 0, 0, 0]), EPERM);
        assert_eq!(
            run(&filter, X86_64, 10_000, none),
            RET_ERRNO | ENOSYS,
            "a call of the future"
        );
        assert_eq!(
            run(&filter, 0xc000_00b7, 0, none),
            RET_KILL_PROCESS,
            "another architecture"
        );
        assert_eq!(
            run(&filter, 0x4000_0003, 3, none),
            ALLOW,
            "a 32-bit program's read"
        );
        let more = default_filter(&["CAP_SYS_ADMIN"]);
        let mount = Architecture::X86_64.number("mount").unwrap();
        assert_eq!(run(&more, X86_64, mount, none), ALLOW);
    }

    #[test]
    fn the_default_filter_is_shorter_than_its_list_of_calls() {
        let instructions = default_filter(&[]).len() / 8;
        assert!(instructions < 300, "{instructions}");
    }
}
