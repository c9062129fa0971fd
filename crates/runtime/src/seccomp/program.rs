//! A classic BPF program in the making, written from its end to its beginning: jumps only go
//! forward, so where one leads is known when it is written, and its length with it.
//!
//! Loading a program takes the kernel time for each instruction, of every start; so answers are
//! shared as far as a comparison's jump reaches.

use std::collections::BTreeMap;

/// Codes of `linux/bpf_common.h`, put together as the kernel lets filters use them.
pub(super) const LOAD: u16 = 0x20;
pub(super) const AND: u16 = 0x54;
pub(super) const JUMP: u16 = 0x05;
pub(super) const JUMP_EQUAL: u16 = 0x15;
pub(super) const JUMP_GREATER: u16 = 0x25;
pub(super) const JUMP_GREATER_OR_EQUAL: u16 = 0x35;
pub(super) const RETURN: u16 = 0x06;

/// Most instructions that a comparison can pass over.
const REACH: usize = u8::MAX as usize;

/// One instruction of `struct sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Instruction {
    pub(super) code: u16,
    pub(super) if_true: u8,
    pub(super) if_false: u8,
    pub(super) constant: u32,
}

/// An instruction that is written already: how many are behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target(usize);

/// What is written of a program, the last instruction first.
#[derive(Debug, Default)]
pub(super) struct Program {
    reversed: Vec<Instruction>,
    /// Where each answer was written last.
    answers: BTreeMap<u32, Target>,
}

impl Program {
    /// Gives this answer.
    pub(super) fn give(&mut self, action: u32) -> Target {
        match self.answers.get(&action) {
            Some(answer) if self.distance(*answer) < REACH => *answer,
            _ => self.write_answer(action),
        }
    }

    /// Loads a word of `struct seccomp_data`, then goes on at `next`.
    pub(super) fn load(&mut self, offset: u32, next: Target) -> Target {
        self.then(LOAD, offset, next)
    }

    /// Keeps these bits of what is loaded, then goes on at `next`.
    pub(super) fn and(&mut self, mask: u32, next: Target) -> Target {
        self.then(AND, mask, next)
    }

    /// Compares what is loaded with a constant by one of the jumps above.
    pub(super) fn compare(
        &mut self,
        code: u16,
        constant: u32,
        if_true: Target,
        if_false: Target,
    ) -> Target {
        // The second may put one more instruction between this one and the first.
        let if_true = self.within(REACH - 1, if_true);
        let if_false = self.within(REACH, if_false);
        let over = |target| u8::try_from(self.distance(target)).unwrap_or(u8::MAX);
        let instruction = Instruction {
            code,
            if_true: over(if_true),
            if_false: over(if_false),
            constant,
        };
        self.write(instruction)
    }

    /// How many instructions there are.
    pub(super) fn len(&self) -> usize {
        self.reversed.len()
    }

    /// The whole of it, as the kernel takes it.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let in_order = self.reversed.iter().rev();
        in_order
            .flat_map(|instruction| instruction.bytes())
            .collect()
    }

    fn then(&mut self, code: u16, constant: u32, next: Target) -> Target {
        self.within(0, next);
        self.write(plain(code, constant))
    }

    /// How many instructions lie between the next one to be written and this.
    fn distance(&self, target: Target) -> usize {
        self.reversed.len() - target.0 - 1
    }

    /// The same as `target`, at most this far from the next instruction.
    fn within(&mut self, reach: usize, target: Target) -> Target {
        if self.distance(target) <= reach {
            return target;
        }
        match self.reversed[target.0] {
            Instruction {
                code: RETURN,
                constant,
                ..
            } => self.write_answer(constant),
            // A program has 4,096 instructions at most.
            _ => {
                let over = u32::try_from(self.distance(target)).unwrap_or(u32::MAX);
                self.write(plain(JUMP, over))
            }
        }
    }

    fn write_answer(&mut self, action: u32) -> Target {
        let answer = self.write(plain(RETURN, action));
        self.answers.insert(action, answer);
        answer
    }

    fn write(&mut self, instruction: Instruction) -> Target {
        self.reversed.push(instruction);
        Target(self.reversed.len() - 1)
    }
}

const fn plain(code: u16, constant: u32) -> Instruction {
    Instruction {
        code,
        if_true: 0,
        if_false: 0,
        constant,
    }
}

impl Instruction {
    fn bytes(self) -> [u8; 8] {
        let [code0, code1] = self.code.to_ne_bytes();
        let [k0, k1, k2, k3] = self.constant.to_ne_bytes();
        [code0, code1, self.if_true, self.if_false, k0, k1, k2, k3]
    }
}
