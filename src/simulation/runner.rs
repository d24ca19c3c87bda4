//! Threads that run the processes of one machine after another.
//!
//! Each thread is its own rayon pool, so that parallel code under test stays on the thread, whose disk is the
//! machine's, and runs in one order.
//!
//! Not for: anything that depends on the seed (`machine`).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use super::actor::{Actor, STORE};
use super::client::Client;
use super::faults::InjectedBug;
use super::machine::{ProcessIo, World};
use crate::catalog::Layout;
use crate::durable_file::fs::on_disk;
use crate::publish::announcer::simulated::on_cluster;

/// Processes of a machine at a time.
const PROCESSES: usize = 4;
/// Commands that run in each slot of it.
const COMMANDS: usize = 5;

/// The threads.
pub(super) struct Lane {
    starts: Vec<Sender<Arc<World>>>,
    ends: Receiver<()>,
    threads: Vec<JoinHandle<()>>,
}

impl Lane {
    pub(super) fn new() -> Self {
        let (ended, ends) = channel();
        let mut lane = Self { starts: Vec::new(), ends, threads: Vec::new() };
        for me in 0..PROCESSES {
            let (start, worlds) = channel::<Arc<World>>();
            let ended = ended.clone();
            lane.starts.push(start);
            lane.threads.push(std::thread::spawn(move || {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build();
                let _pool = pool.unwrap();
                for world in worlds {
                    live(&world, me);
                    ended.send(()).unwrap();
                }
            }));
        }
        lane
    }

    /// Runs one history; returns the violation.
    pub(super) fn run(&self, seed: u64, lie: Option<InjectedBug>) -> Option<String> {
        self.world(seed, lie, false).violation()
    }

    /// Runs one history; returns every call.
    pub(super) fn trace(&self, seed: u64, lie: Option<InjectedBug>) -> Vec<String> {
        self.world(seed, lie, true).state().take_trace()
    }

    fn world(&self, seed: u64, lie: Option<InjectedBug>, trace: bool) -> Arc<World> {
        let world = Arc::new(World::new(seed, PROCESSES, Layout::new(STORE), lie, trace));
        self.starts.iter().for_each(|start| start.send(Arc::clone(&world)).unwrap());
        self.starts.iter().for_each(|_| self.ends.recv().unwrap());
        world
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.starts.clear();
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
    }
}

/// Runs the commands of one slot; the last to finish checks the final state.
fn live(world: &Arc<World>, me: usize) {
    world.enter(me);
    let actor = Actor::new(world, me);
    let quietly = |act: &dyn Fn()| {
        let view = ProcessIo::new(world, me);
        let cluster = Arc::clone(&view);
        let connect = move || Box::new(Client(Arc::clone(&cluster))) as _;
        if catch_unwind(AssertUnwindSafe(|| on_disk(view, || on_cluster(connect, act)))).is_err() {
            world.state().fail("a process panicked".to_owned());
        }
    };
    quietly(&|| actor.run(COMMANDS));
    if world.leave(me) {
        quietly(&|| actor.settle());
    }
}
