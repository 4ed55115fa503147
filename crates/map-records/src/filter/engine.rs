//! The jq engine as this program uses it: its functions, and a watch over time and stack.
//!
//! Every function that a person defines, and every one of the engine's own that may go on without end, begins
//! with a tick. A tick that comes too late, or too deep in the stack, ends the filter in a way that no `try`
//! catches.

use std::cell::Cell;
use std::time::{Duration, Instant};

use jaq_core::box_iter::box_once;
use jaq_core::data::HasLut;
use jaq_core::native::{self, v};
use jaq_core::{DataT, Exn, Lut, Native};
use jaq_json::Val;
use singer_runtime::clock::Clock;

/// The function that looks at the watch.
pub(super) const TICK: &str = "map_records_tick";
/// The engine's `range`, which knows no watch.
const RANGE: &str = "map_records_range";

/// How often the time is looked at: an answer of the clock costs as much as several ticks.
const TICKS_A_LOOK: u32 = 64;

/// How much of the stack a filter may use; the rest of a thread's stack is for what is freed on the way back.
const MOST_STACK_BYTES: usize = 48 << 20;

/// What the engine is told at a tick that ends the filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Late = 1,
    Deep = 2,
}

impl End {
    pub(super) fn of(code: i32) -> Option<Self> {
        [Self::Late, Self::Deep]
            .into_iter()
            .find(|end| *end as i32 == code)
    }
}

/// Looks after one filter at a time.
#[derive(Debug)]
pub struct Watch {
    clock: Clock,
    limit: Duration,
    deadline: Cell<Instant>,
    ticks: Cell<u32>,
    /// Where the stack was when the filter began.
    base: Cell<usize>,
}

impl Watch {
    /// A watch with the most time that a record may take.
    pub(crate) fn new(clock: Clock, limit: Duration) -> Self {
        Self {
            clock,
            limit,
            deadline: Cell::new(Instant::now()),
            ticks: Cell::new(0),
            base: Cell::new(0),
        }
    }

    /// The most time that a record may take.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// A filter begins.
    pub(super) fn begin(&self, started: Instant) {
        self.deadline.set(started + self.limit);
        self.ticks.set(0);
        self.base.set(stack_place());
    }

    /// Whether the time is over.
    pub(super) fn is_late(&self) -> bool {
        Instant::now() > self.deadline.get()
    }

    fn tick(&self) -> Result<(), End> {
        if self.base.get().saturating_sub(stack_place()) > MOST_STACK_BYTES {
            return Err(End::Deep);
        }
        let ticks = self.ticks.get().wrapping_add(1);
        self.ticks.set(ticks);
        if ticks.is_multiple_of(TICKS_A_LOOK) && self.is_late() {
            return Err(End::Late);
        }
        Ok(())
    }
}

/// An address in the frame of a function: it sinks as calls go deeper.
#[inline(never)]
fn stack_place() -> usize {
    let here = 0u8;
    std::ptr::from_ref(std::hint::black_box(&here)) as usize
}

/// Filters over JSON values with a watch beside them.
pub(super) struct Engine;

impl DataT for Engine {
    type V<'a> = Val;
    type Data<'a> = Running<'a>;
}

/// What a running filter knows beside its value.
#[derive(Clone)]
pub(super) struct Running<'a> {
    pub(super) lut: &'a Lut<Engine>,
    pub(super) watch: &'a Watch,
}

impl<'a> HasLut<'a, Engine> for Running<'a> {
    fn lut(&self) -> &'a Lut<Engine> {
        self.lut
    }
}

/// The functions in Rust. What prints, ends the process or reads the environment is not among them, and `now`
/// is the runtime's clock.
pub(super) fn functions() -> Vec<native::Fun<Engine>> {
    const ABSENT: [&str; 5] = ["debug_empty", "env", "halt", "now", "stderr_empty"];
    let engine = jaq_core::funs::<Engine>()
        .chain(jaq_std::funs())
        .chain(jaq_json::funs());
    let mut functions: Vec<native::Fun<Engine>> = engine
        .filter(|(name, ..)| !ABSENT.contains(name))
        .map(|(name, arguments, function)| match name {
            "range" => (RANGE, arguments, function),
            _ => (name, arguments, function),
        })
        .collect();
    let tick = Native::new(|cv: jaq_core::Cv<'_, Engine>| {
        box_once(match cv.0.data().watch.tick() {
            Ok(()) => Ok(cv.1),
            Err(end) => Err(Exn::halt(end as i32)),
        })
    })
    .with_paths(|cv| {
        box_once(match cv.0.data().watch.tick() {
            Ok(()) => Ok(cv.1),
            Err(end) => Err(Exn::halt(end as i32)),
        })
    })
    .with_update(|cv, update| match cv.0.data().watch.tick() {
        Ok(()) => update(cv.1),
        Err(end) => box_once(Err(Exn::halt(end as i32))),
    });
    functions.push((TICK, v(0), tick));
    let now = Native::new(|cv: jaq_core::Cv<'_, Engine>| {
        let now = cv.0.data().watch.clock.now();
        box_once(Ok(Val::from(now.timestamp_micros() as f64 / 1e6)))
    });
    functions.push(("now", v(0), now));
    functions
}

/// The functions in jq; those that need an absent one are not among them.
pub(super) fn definitions() -> Vec<jaq_core::load::parse::Def<&'static str>> {
    const ABSENT: [&str; 4] = ["debug", "halt", "halt_error", "stderr"];
    let range =
        "def range($from; $to; $by): map_records_range($from; $to; $by) | map_records_tick;";
    let range = jaq_core::load::parse(range, |parser| parser.defs());
    range
        .unwrap_or_default()
        .into_iter()
        .chain(jaq_core::defs())
        .chain(jaq_std::defs())
        .chain(jaq_json::defs())
        .filter(|definition| !ABSENT.contains(&definition.name))
        .collect()
}
