//! The daemon and its keeper killed, stopped and taken down: what must survive, and what must not be left.

mod crash;
mod disk_full;
mod down;
mod keeper;
mod volume;
