//! The model test: runners on several machines over one simulated store, driven through the real code of
//! leases and states. Processes stop for hours and die at any request, requests arrive late or never, answers
//! are lost, the disk is full, clocks jump. Every seed is one history, the same each time.
//!
//! What breaks if the protocol leaves something out; each was tried:
//!
//! | left out | what fails |
//! |---|---|
//! | `fence_off` after a take-over | a version came after a newer run had begun |
//! | the whole time of a lease (half of it is enough) | the lease is held twice |
//! | the look who has put a number that is there already | the lease is held twice |
//! | the second look at a lease after the probe of the time | the lease is held twice |
//! | the second listing when a state has a fence that was not listed | the lease is held twice |
//! | the end of a lease that was not renewed in time | the lease is held twice |
//! | put-if-absent of a version | a version is put over |
//! | the comparison of the state after a lost answer | a version is another's |
//! | the look behind the hint of the newest version | the lease cannot be taken |
//!
//! Whose version it is that was there already may be forgotten: a larger fence stops the writer as well.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use singer_runtime::clock::Clock;
use tokio::time::{Instant, sleep};

use super::{Desk, Fate, Holder, Place, Taken};
use crate::spec::Retention;
use crate::state::{States, Stored};
use crate::store::Store;
use store::Simulated;

mod store;

const SEEDS: u64 = 300;
const LEASE: Duration = Duration::from_secs(60);
const MACHINES: u64 = 3;
const KEEP: Retention = Retention {
    runs: 1,
    states: 12,
    age: Duration::from_secs(1 << 40),
};

/// What all of a history share.
#[derive(Debug, Clone)]
pub(super) struct World {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    random: u64,
    started: Instant,
    /// What the clock of the store is off.
    jumped: chrono::TimeDelta,
    /// No more faults: the history is looked at.
    is_calm: bool,
    alive: BTreeSet<u64>,
    /// When a process that was stopped goes on.
    stopped: BTreeMap<u64, Instant>,
    /// Requests that arrive after their sender has given them up.
    under_way: u32,
    acknowledged: Vec<Acknowledged>,
    begun: Vec<Begun>,
    held: Vec<Held>,
    take_overs: u64,
    /// What was seen to be wrong while the history went on.
    faults: Vec<String>,
    /// How many times rarer faults are than in the roughest of worlds.
    mildness: u64,
    /// Whether the clock of the store jumps: then a lease may be taken over too early, and the fence alone counts.
    has_jumps: bool,
}

/// A lease as long as its runner works.
#[derive(Debug)]
struct Held {
    process: u64,
    fence: u64,
    lost: tokio::sync::watch::Receiver<bool>,
}

/// What a run goes on from.
#[derive(Debug)]
struct Begun {
    run: String,
    base: u64,
    fence: u64,
}

/// A version of which a runner was told that it is stored.
#[derive(Debug, Clone)]
struct Acknowledged {
    version: u64,
    run: String,
    state: String,
    /// The newest version when the run began.
    base: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            inner: Arc::new(Mutex::new(Inner {
                random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1,
                started: Instant::now(),
                jumped: chrono::TimeDelta::zero(),
                is_calm: false,
                alive: BTreeSet::new(),
                stopped: BTreeMap::new(),
                under_way: 0,
                acknowledged: Vec::new(),
                begun: Vec::new(),
                held: Vec::new(),
                take_overs: 0,
                faults: Vec::new(),
                mildness: [1, 4, 16][(seed % 3) as usize],
                has_jumps: seed.is_multiple_of(2),
            })),
        }
    }

    fn with<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        change(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A number below a bound (splitmix64).
    fn below(&self, bound: u64) -> u64 {
        self.with(|inner| {
            inner.random = inner.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = inner.random;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (mixed ^ (mixed >> 31)) % bound
        })
    }

    /// Once in so many times, as long as there are faults at all.
    fn strikes(&self, one_in: u64) -> bool {
        let mildness = self.with(|inner| inner.mildness);
        self.below(one_in * mildness) == 0 && !self.with(|inner| inner.is_calm)
    }

    fn is_alive(&self, process: u64) -> bool {
        self.with(|inner| inner.alive.contains(&process))
    }

    fn kill(&self, process: u64) {
        self.with(|inner| inner.alive.remove(&process));
    }

    fn accuse(&self, fault: String) {
        self.with(|inner| inner.faults.push(fault));
    }

    /// At most one runner may think that it holds the lease, of those with these fences or lower ones.
    fn check_holders(&self, fence: u64) {
        self.with(|inner| {
            let holders: Vec<(u64, u64)> = inner
                .held
                .iter()
                .filter(|held| inner.alive.contains(&held.process) && !*held.lost.borrow())
                .map(|held| (held.process, held.fence))
                .filter(|(_, other)| *other <= fence)
                .collect();
            if holders.len() > 1 {
                let fault = format!("the lease is held twice (runner, fence): {holders:?}");
                inner.faults.push(fault);
            }
        });
    }

    /// Notes a new holder, and looks a moment later, or when each older one must have seen it, who else is one.
    fn note_holder(&self, process: u64, lease: &super::Lease) {
        let (fence, lost) = (lease.fence(), lease.keeper.lost.subscribe());
        let wait = self.with(|inner| {
            inner.take_overs += u64::from(lease.took_over.is_some());
            inner.held.push(Held {
                process,
                fence,
                lost,
            });
            if inner.has_jumps {
                LEASE
            } else {
                Duration::from_secs(1)
            }
        });
        let world = self.clone();
        tokio::spawn(async move {
            sleep(wait).await;
            world.check_holders(fence);
        });
    }

    /// The clock of the store.
    fn time(&self) -> chrono::DateTime<chrono::Utc> {
        self.with(|inner| {
            let elapsed = chrono::TimeDelta::from_std(inner.started.elapsed()).unwrap_or_default();
            chrono::DateTime::UNIX_EPOCH + chrono::TimeDelta::days(20_000) + elapsed + inner.jumped
        })
    }

    /// Returns when the process goes on; never if it is dead.
    async fn scheduled(&self, process: u64) {
        loop {
            if !self.is_alive(process) {
                std::future::pending::<()>().await;
            }
            let Some(until) = self.with(|inner| inner.stopped.get(&process).copied()) else {
                return;
            };
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }

    /// How long something takes: mostly no time, at times longer than a lease.
    fn pause(&self) -> Duration {
        let mildness = self.with(|inner| inner.mildness);
        match self.below(40 * mildness) {
            _ if self.with(|inner| inner.is_calm) => Duration::from_millis(1),
            0 => Duration::from_millis(self.below(3 * 60_000)),
            1..=4 => Duration::from_millis(self.below(15_000)),
            _ => Duration::from_millis(self.below(50)),
        }
    }
}

/// What is known of holders in a world: those of the same machine, and nothing of the others.
#[derive(Debug, Clone)]
pub(super) struct Judge {
    world: Option<World>,
    host: String,
}

impl Judge {
    /// Knows nobody.
    pub(super) fn nobody() -> Self {
        Self {
            world: None,
            host: String::new(),
        }
    }

    pub(super) fn fate(&self, holder: &Holder) -> Fate {
        let (Some(world), true) = (&self.world, holder.host == self.host) else {
            return Fate::Elsewhere;
        };
        match holder.process.parse() {
            Ok(process) if world.is_alive(process) => Fate::Alive,
            _ => Fate::Dead,
        }
    }
}

/// Everything that a process has.
struct Process {
    world: World,
    id: u64,
    desk: Desk,
    clock: Clock,
}

impl Process {
    fn start(world: &World, objects: &Simulated, id: u64, machine: u64) -> Self {
        world.with(|inner| inner.alive.insert(id));
        let host = format!("machine-{machine}");
        let judge = Judge {
            world: Some(world.clone()),
            host: host.clone(),
        };
        let clock = Clock::fixed(world.time());
        let desk = Desk {
            store: Store::over(Arc::new(objects.of(id))),
            clock: clock.clone(),
            place: Place::simulated(&host, &id.to_string(), judge),
            pipeline: "p".to_owned(),
            lease: LEASE,
            grace: Duration::ZERO,
        };
        Self {
            world: world.clone(),
            id,
            desk,
            clock,
        }
    }

    /// Lives until its run has ended or it dies.
    async fn live(self) {
        let died = async {
            while self.world.is_alive(self.id) {
                sleep(Duration::from_secs(10)).await;
            }
        };
        tokio::select! {
            biased;
            () = self.run() => {}
            () = died => {}
        }
        self.world.kill(self.id);
    }

    /// Tries as long as a person would.
    async fn take(&self, run: &str) -> Option<super::Lease> {
        for _ in 0..10 {
            if let Ok(Taken::Lease(lease)) = self.desk.take(run).await {
                self.world.note_holder(self.id, &lease);
                return Some(lease);
            }
            sleep(Duration::from_millis(self.world.below(100_000))).await;
            self.world.scheduled(self.id).await;
        }
        None
    }

    async fn run(&self) {
        let run = format!("run-{}", self.id);
        let Some(lease) = self.take(&run).await else {
            return;
        };
        let told = self.world.with(|inner| {
            let told = inner.acknowledged.iter().map(|told| told.version);
            told.max().unwrap_or_default()
        });
        let opened = States::over(&self.desk.store, &self.clock, "p", lease.fence()).await;
        let Ok(mut states) = opened else {
            return;
        };
        let (base, fence) = (states.known_number(), lease.fence());
        if base < told {
            let fault = format!("{run} goes on from version {base} though {told} was acknowledged");
            self.world.accuse(fault);
        }
        self.world.with(|inner| {
            let run = run.clone();
            inner.begun.push(Begun { run, base, fence });
        });
        // A runner that looks whether it has lost its lease, or one that trusts the store alone.
        let is_attentive = self.world.below(2) == 0;
        let mut is_settled = true;
        for step in 0..self.world.below(40) {
            sleep(Duration::from_millis(self.world.below(8_000))).await;
            self.world.scheduled(self.id).await;
            let is_lost = *lease.keeper.lost.borrow();
            if is_attentive && is_lost {
                return;
            }
            let state = format!("{{\"run\":{},\"step\":{step}}}", self.id);
            match states.append(&state, &run, "t").await {
                Ok(Stored::Version(version)) => {
                    is_settled = true;
                    self.world.with(|inner| {
                        inner.acknowledged.push(Acknowledged {
                            version,
                            run: run.clone(),
                            state,
                            base,
                        });
                    });
                }
                Ok(Stored::Same(version)) => panic!("{version} is said to be the same"),
                Ok(Stored::Fenced) => return,
                Err(_) => {
                    is_settled = false;
                    if self.world.below(4) == 0 {
                        break;
                    }
                }
            }
        }
        if self.world.below(2) == 0 {
            let _failed = states.prune(&KEEP).await;
        }
        if !is_settled {
            lease.note_unsettled();
        }
        if self.world.below(5) > 0 {
            let id = self.id;
            self.world
                .with(|inner| inner.held.retain(|held| held.process != id));
            let _failed = lease.release().await;
        }
    }
}

/// What a history was about.
#[derive(Debug, Default)]
struct Sum {
    acknowledged: u64,
    take_overs: u64,
    runs: u64,
}

/// One history.
async fn history(seed: u64) -> Result<Sum, String> {
    let world = World::new(seed);
    let objects = Simulated::new(&world);
    let mut lives = Vec::new();
    for id in 1..=10 + world.below(10) {
        let process = Process::start(&world, &objects, id, world.below(MACHINES));
        lives.push(tokio::spawn(process.live()));
        sleep(Duration::from_millis(world.below(120_000))).await;
        if world.below(6) == 0 && world.with(|inner| inner.has_jumps) {
            let hours = i64::try_from(world.below(48)).unwrap_or_default() - 24;
            world.with(|inner| inner.jumped += chrono::TimeDelta::hours(hours));
        }
    }
    // Some end by themselves, those that are left die.
    let dead = world.with(|inner| {
        inner.is_calm = true;
        std::mem::take(&mut inner.alive)
    });
    for life in lives {
        life.await
            .map_err(|error| format!("a runner panicked: {error}"))?;
    }
    while world.with(|inner| inner.under_way) > 0 {
        sleep(Duration::from_secs(1)).await;
    }
    if let Some(fault) = world.with(|inner| inner.faults.first().cloned()) {
        return Err(fault);
    }
    let (last, lease) = recover(&world, &objects, dead.len()).await?;
    check(&world, &last, lease.fence()).await
}

/// Somebody else gets the lease in the time of a lease.
async fn recover(
    world: &World,
    objects: &Simulated,
    died: usize,
) -> Result<(Process, super::Lease), String> {
    let process = Process::start(world, objects, 1000, 1000);
    let begun = Instant::now();
    loop {
        match process.desk.take("last").await {
            Ok(Taken::Lease(lease)) => return Ok((process, lease)),
            Ok(Taken::Held(_)) => {}
            Err(error) => return Err(format!("the lease cannot be taken: {error:?}")),
        }
        if begun.elapsed() > LEASE + Duration::from_secs(10) {
            return Err(format!(
                "the lease is not free in its time; {died} died at last"
            ));
        }
        sleep(Duration::from_secs(1)).await;
    }
}

/// What holds of every history.
async fn check(world: &World, last: &Process, fence: u64) -> Result<Sum, String> {
    let fault = |error| format!("{error:?}");
    let states = States::over(&last.desk.store, &last.clock, "p", fence)
        .await
        .map_err(fault)?;
    let mut chain = BTreeMap::new();
    for number in states.numbers().await.map_err(fault)? {
        let version = states
            .version(number)
            .await
            .map_err(fault)?
            .ok_or("it has gone")?;
        chain.insert(number, version);
    }
    let oldest = chain.keys().next().copied().unwrap_or_default();
    let newest = chain.keys().last().copied().unwrap_or_default();
    let found = states
        .newest()
        .await
        .map_err(fault)?
        .map_or(0, |version| version.version);
    if found != newest {
        return Err(format!(
            "{found} is taken for the newest, which is {newest}"
        ));
    }
    for (one, other) in chain.values().zip(chain.values().skip(1)) {
        if one.fence > other.fence {
            return Err(format!("the fence falls at version {}", other.version));
        }
    }
    let acknowledged = world.with(|inner| inner.acknowledged.clone());
    let mut numbers = BTreeSet::new();
    for told in &acknowledged {
        if !numbers.insert(told.version) {
            return Err(format!("two runners were told of version {}", told.version));
        }
        if told.version < oldest {
            continue;
        }
        let Some(stored) = chain.get(&told.version) else {
            return Err(format!("version {} is lost", told.version));
        };
        if stored.state.get() != told.state || stored.run.as_deref() != Some(&told.run) {
            return Err(format!("version {} is another's", told.version));
        }
        // What lies between the start of the run and this is the run's own.
        for (number, between) in chain.range(told.base + 1..=told.version) {
            if between.run.as_deref() != Some(&told.run) {
                return Err(format!(
                    "version {number} came between version {} and its run",
                    told.version
                ));
            }
        }
    }
    world.with(|inner| {
        // What a run goes on from is settled: nobody before it writes any more.
        for begun in &inner.begun {
            let mut later = chain.range(begun.base + 1..);
            let stale = later.find(|(_, version)| version.fence < begun.fence);
            if let Some((number, version)) = stale {
                return Err(format!(
                    "version {number} of fence {} came after {} had begun with fence {}",
                    version.fence, begun.run, begun.fence
                ));
            }
        }
        Ok(Sum {
            acknowledged: inner.acknowledged.len() as u64,
            take_overs: inner.take_overs,
            runs: inner.begun.len() as u64,
        })
    })
}

#[test]
fn no_history_of_pauses_deaths_and_faults_loses_or_forks_a_state() {
    let mut sum = Sum::default();
    for seed in 0..SEEDS {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        match runtime.block_on(history(seed)) {
            Ok(one) => {
                sum.acknowledged += one.acknowledged;
                sum.take_overs += one.take_overs;
                sum.runs += one.runs;
            }
            Err(fault) => panic!("seed {seed}: {fault}"),
        }
    }
    // The histories are about something.
    assert!(sum.acknowledged > 10_000, "{sum:?}");
    assert!(sum.take_overs > 500, "{sum:?}");
    assert!(sum.runs > 1_000, "{sum:?}");
}
