//! Gauges over all servers of a process: each adds what it has, and takes it back.

use core::sync::atomic::{AtomicUsize, Ordering};

/// What one server has of two gauges: its sessions, and the bytes that they hold.
#[derive(Debug)]
pub(super) struct Share {
    names: [&'static str; 2],
    told: [AtomicUsize; 2],
}

impl Share {
    pub(super) fn new(sessions: &'static str, memory: &'static str) -> Self {
        Self { names: [sessions, memory], told: Default::default() }
    }

    /// The bytes that were told last.
    pub(super) fn memory(&self) -> usize {
        let [_, memory] = &self.told;
        memory.load(Ordering::Relaxed)
    }

    /// Tells what there is now.
    pub(super) fn tell(&self, sessions: usize, memory: usize) {
        for ((name, told), now) in self.names.into_iter().zip(&self.told).zip([sessions, memory]) {
            let before = told.swap(now, Ordering::Relaxed);
            // Whole numbers below 2^53: the sum of all is as exact as they are.
            metrics::gauge!(name).increment(now as f64 - before as f64);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.tell(0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    /// A recorder with one gauge.
    #[derive(Default)]
    struct One(Arc<Mutex<f64>>);

    struct Value(Arc<Mutex<f64>>);

    impl metrics::GaugeFn for Value {
        fn increment(&self, by: f64) {
            *self.0.lock().unwrap() += by;
        }

        fn decrement(&self, by: f64) {
            *self.0.lock().unwrap() -= by;
        }

        fn set(&self, value: f64) {
            *self.0.lock().unwrap() = value;
        }
    }

    impl metrics::Recorder for One {
        fn describe_counter(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}
        fn describe_gauge(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}
        fn describe_histogram(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}

        fn register_counter(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Counter {
            metrics::Counter::noop()
        }

        fn register_gauge(&self, key: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Gauge {
            match key.name() {
                "sessions" => metrics::Gauge::from_arc(Arc::new(Value(Arc::clone(&self.0)))),
                _ => metrics::Gauge::noop(),
            }
        }

        fn register_histogram(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Histogram {
            metrics::Histogram::noop()
        }
    }

    #[test]
    fn the_gauge_is_the_sum_of_all_servers_and_one_that_ends_takes_its_share_back() {
        let recorder = One::default();
        let read = || *recorder.0.lock().unwrap();
        metrics::with_local_recorder(&recorder, || {
            let (one, other) = (Share::new("sessions", "memory"), Share::new("sessions", "memory"));
            one.tell(3, 100);
            other.tell(4, 10);
            assert_eq!((read() as u32, one.memory(), other.memory()), (7, 100, 10));
            one.tell(1, 30);
            assert_eq!((read() as u32, one.memory()), (5, 30));
            drop(one);
            assert_eq!(read() as u32, 4);
        });
    }
}
