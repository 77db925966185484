//! Runs a target on one input and judges it: no panic, no memory or steps out of proportion, an end.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;
use std::time::{Duration, Instant};

use counting_allocator::Meter;

use crate::targets::{Target, Verdict};

/// How long one input may take. A wall clock stands still for nobody, so this is far beyond what any input takes on a
/// machine that is busy with other things, and catches loops that do not end soon; `allocations` catches most sooner.
const INPUT_TIME_MAX: Duration = Duration::from_secs(5);

/// What a target may take for an input.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    /// Bytes at a time, whatever the input.
    pub(crate) fixed_bytes: usize,
    /// Bytes at a time for each byte of input.
    pub(crate) bytes_per_byte: usize,
    /// Allocations for each byte of input, with [`FIXED_ALLOCATIONS`] for all together: the measure of steps that does not
    /// depend on the machine.
    pub(crate) allocations_per_byte: u64,
}

/// Allocations that a target may make whatever the input: the HTTP surface makes some hundreds to build an answer.
const FIXED_ALLOCATIONS: u64 = 2_000;

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure(pub(crate) String);

impl Failure {
    /// Its kind: what the smaller input must share with the larger one while it is minimised, so that one bug is not
    /// mistaken for another.
    pub(crate) fn kind(&self) -> &str {
        self.0.split(':').next().unwrap_or_default()
    }
}

thread_local! {
    /// Bytes that the input stands for beyond its own, as a compressed one does.
    static EXPANDED_BYTES: Cell<usize> = const { Cell::new(0) };
    /// What the panic on this thread said, while a target runs on it.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
    static IS_JUDGED: Cell<bool> = const { Cell::new(false) };
}

/// Says that the input now judged stands for so many bytes more, for example because it was compressed.
pub(crate) fn input_expands_to(bytes: usize) {
    EXPANDED_BYTES.set(EXPANDED_BYTES.get() + bytes);
}

/// Runs the target on an input.
///
/// # Errors
/// What the target did that it must not do.
pub(crate) fn judge(target: &Target, input: &[u8]) -> Result<Verdict, Failure> {
    silence_judged_panics();
    EXPANDED_BYTES.set(0);
    IS_JUDGED.set(true);
    let started = Instant::now();
    let meter = Meter::start();
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    let usage = meter.usage();
    IS_JUDGED.set(false);
    let verdict = match outcome {
        Ok(verdict) => verdict,
        Err(payload) => {
            let said = PANIC.take().unwrap_or_else(|| text_of(&*payload));
            return Err(Failure(format!("panic: {said}")));
        }
    };
    let size = input.len() + EXPANDED_BYTES.get();
    let budget = &target.budget;
    let bytes_max = budget.fixed_bytes + budget.bytes_per_byte * size;
    if usage.peak_bytes > bytes_max {
        return Err(Failure(format!(
            "memory: {} bytes at a time for an input of {size}; {bytes_max} are allowed",
            usage.peak_bytes
        )));
    }
    let allocations_max = FIXED_ALLOCATIONS + budget.allocations_per_byte * size as u64;
    if usage.allocations > allocations_max {
        return Err(Failure(format!(
            "steps: {} allocations for an input of {size}; {allocations_max} are allowed",
            usage.allocations
        )));
    }
    let took = started.elapsed();
    if took > INPUT_TIME_MAX {
        return Err(Failure(format!("time: {took:?} for an input of {size} bytes")));
    }
    Ok(verdict)
}

/// A panic of a judged target is an outcome, and is kept; all others are printed as ever.
fn silence_judged_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if IS_JUDGED.get() {
                let place = info
                    .location()
                    .map_or(String::new(), |place| format!(" at {place}"));
                PANIC.set(Some(format!("{}{place}", text_of(info.payload()))));
            } else {
                usual(info);
            }
        }));
    });
}

fn text_of(payload: &(dyn Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without words").to_owned()
}
