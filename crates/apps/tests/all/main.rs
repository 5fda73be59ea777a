//! The tests of the programs, in one program: what each is for stands at the head of its file.

mod chat;
mod docs;
mod lab;
mod rooms;
mod tftp;
mod tutorials;
mod upper;
mod words;
