//! The tests of the lab, in one program: what each is for stands at the head of its file.

mod drill;
mod network;
mod programs;
mod recovery;
mod simulate;
