//! The network between an executor and its driver, which can lose what the executor says and cut connections.
//!
//! Not for: requests to the object store (`proxy`).

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// A relay; it takes connections for as long as the process lives.
pub struct Relay {
    pub address: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    loses: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Relay {
    /// A relay to a driver.
    pub fn to(driver: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(State::default());
        let (serving, driver) = (Arc::clone(&state), driver.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // Where no driver listens yet, the connection is refused by being closed.
                let Ok(server) = TcpStream::connect(&driver) else { continue };
                let copies = [(client.try_clone(), server.try_clone(), true), (Ok(server), Ok(client), false)];
                for (from, to, is_lossy) in copies {
                    let (from, to, state) = (from.unwrap(), to.unwrap(), Arc::clone(&serving));
                    state.open.lock().unwrap().push(to.try_clone().unwrap());
                    thread::spawn(move || state.copy(from, to, is_lossy));
                }
            }
        });
        Self { address, state }
    }

    /// From now on what executors say is lost, and they notice nothing.
    pub fn lose(&self) {
        self.state.loses.store(true, Ordering::SeqCst);
    }

    /// Cuts all connections; new ones lose nothing.
    pub fn cut(&self) {
        for stream in self.state.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.state.loses.store(false, Ordering::SeqCst);
    }
}

impl State {
    fn copy(&self, mut from: TcpStream, mut to: TcpStream, is_lossy: bool) {
        let mut bytes = [0; 1 << 14];
        while let Ok(read @ 1..) = from.read(&mut bytes) {
            let is_lost = is_lossy && self.loses.load(Ordering::SeqCst);
            if !is_lost && to.write_all(&bytes[..read]).is_err() {
                break;
            }
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    }
}
