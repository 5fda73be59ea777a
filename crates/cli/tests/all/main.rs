//! The tests of the command, in one program: what each is for stands at the head of its file.

mod command;
mod drill;
mod net_lab;
mod person;
mod readme;
mod scenario;
mod support;
mod terminal;
mod tun;
mod upper;
mod words;
