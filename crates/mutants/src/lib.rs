//! Faults planted on purpose: a harness that never finds anything proves nothing until it finds these.
//!
//! Each stands at the place where it does its harm, as one branch on [`planted`]. In every ordinary build that is a
//! constant `false`, and nothing of the branch is left. With the feature `planted`, which a release build refuses, one
//! build holds all of them, and the environment says which one is at work. Their table, with the harness that must find
//! each, is `crates/kings/tests/e2e/faults/mutants.rs`.

/// Whether the fault of this name is at work.
#[cfg(not(feature = "planted"))]
#[inline]
pub const fn planted(_name: &str) -> bool {
    false
}

/// Whether the fault of this name is at work: the one that `KINGS_MUTANT` names.
#[cfg(feature = "planted")]
pub fn planted(name: &str) -> bool {
    std::env::var_os("KINGS_MUTANT").is_some_and(|mutant| mutant == name)
}

#[cfg(all(feature = "planted", not(debug_assertions)))]
compile_error!("planted faults lose mail: they are for debug builds and their tests alone");
