//! The system's allocator, and a count of what each thread has allocated, so that the fuzzer can see a decoder that
//! takes memory out of proportion to its input.
//!
//! A package of its own because an allocator cannot be written without unsafe code, which `atoll` forbids everywhere.
//! Only tests may depend on it. Memory that C libraries allocate is not seen.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// What a thread has done since [`Meter::start`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// The most bytes that were allocated at a time and not freed.
    pub peak_bytes: usize,
    /// How often memory was asked for.
    pub allocations: u64,
}

/// A measurement of the thread that started it.
#[derive(Debug)]
pub struct Meter {
    base_bytes: isize,
    base_allocations: u64,
}

thread_local! {
    // Constants and without destructors, so that touching them never allocates and works while a thread ends.
    // Signed: a thread may free what another one has allocated.
    static CURRENT: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

impl Meter {
    /// Begins to measure this thread. One measurement at a time: starting another moves the peak of the first.
    #[must_use]
    pub fn start() -> Self {
        let base_bytes = CURRENT.get();
        PEAK.set(base_bytes);
        Self {
            base_bytes,
            base_allocations: ALLOCATIONS.get(),
        }
    }

    /// What this thread has done since.
    #[must_use]
    pub fn usage(&self) -> Usage {
        Usage {
            peak_bytes: usize::try_from(PEAK.get() - self.base_bytes).unwrap_or(0),
            allocations: ALLOCATIONS.get() - self.base_allocations,
        }
    }
}

/// The system's allocator, counting. Make it the global one of a test.
#[derive(Debug)]
pub struct CountingAllocator;

fn grown(bytes: usize) {
    let current = CURRENT.get() + bytes.cast_signed();
    CURRENT.set(current);
    PEAK.set(PEAK.get().max(current));
    ALLOCATIONS.set(ALLOCATIONS.get() + 1);
}

fn shrunk(bytes: usize) {
    CURRENT.set(CURRENT.get() - bytes.cast_signed());
}

// SAFETY: every call goes to the system's allocator with the arguments as they came; counting touches no memory of it.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        shrunk(layout.size());
        // SAFETY: the caller keeps the contract of `GlobalAlloc::dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // Old and new may exist at a time, so the peak counts both.
        grown(new_size);
        shrunk(layout.size());
        // SAFETY: the caller keeps the contract of `GlobalAlloc::realloc`.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}
