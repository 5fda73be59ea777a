//! The machines there are, by the handles that programs hold. A handle is a number: one that was given back, or never
//! given out, finds nothing.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use libc::c_void;

use super::memory::error;
use crate::machine::Machine;

#[derive(Default)]
struct Machines {
    last: usize,
    /// `None` where the flags could not be understood: its calls fail.
    all: BTreeMap<usize, Option<Arc<Machine>>>,
}

static MACHINES: Mutex<Machines> = Mutex::new(Machines {
    last: 0,
    all: BTreeMap::new(),
});

fn lock() -> MutexGuard<'static, Machines> {
    MACHINES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives a handle out.
pub(super) fn add(machine: Option<Machine>) -> *mut c_void {
    let mut machines = lock();
    machines.last += 1;
    let handle = machines.last;
    machines.all.insert(handle, machine.map(Arc::new));
    std::ptr::without_provenance_mut(handle)
}

/// The machine of a handle.
///
/// # Errors
/// EINVAL if its flags could not be understood; EFAULT if there is no such handle.
pub(super) fn find(handle: *mut c_void) -> io::Result<Arc<Machine>> {
    match lock().all.get(&handle.addr()) {
        Some(Some(machine)) => Ok(machine.clone()),
        Some(None) => Err(error(libc::EINVAL)),
        None => Err(error(libc::EFAULT)),
    }
}

/// Takes a handle back.
pub(super) fn remove(handle: *mut c_void) -> Option<Arc<Machine>> {
    lock().all.remove(&handle.addr()).flatten()
}

/// All machines.
pub(super) fn all() -> Vec<Arc<Machine>> {
    lock().all.values().flatten().cloned().collect()
}
