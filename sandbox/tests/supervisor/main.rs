//! The supervisor through its own door: what a worker is, how it ends, what is refused, what is left.
//!
//! These tests need root and a Python in `/usr/bin`. Each says what it proves in its name.

mod confinement;
mod ends;
mod floods;
mod harness;
mod leftovers;
mod refusals;
mod scarcity;
