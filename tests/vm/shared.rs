//! One machine for all tests of a file.

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError, mpsc};

use alyx_tests::vm::Vm;

/// Boots a machine that stays until this process ends.
pub fn boot(start: impl FnOnce() -> Vm + Send + 'static) -> Mutex<Vm> {
    let (send, receive) = mpsc::channel();
    // The kernel ends the machine with the thread that started it; this one stays.
    std::thread::spawn(move || {
        let _ = send.send(start());
        loop {
            std::thread::park();
        }
    });
    Mutex::new(receive.recv().expect("the machine boots"))
}

/// The machine, also after a test failed with it.
pub fn lock(machine: &'static LazyLock<Mutex<Vm>>) -> MutexGuard<'static, Vm> {
    machine.lock().unwrap_or_else(PoisonError::into_inner)
}
