//! Twenty readings of three meters by one controller: one meter answers, one is busy now and then, one does not exist. At
//! the end it prints how each came out.
//!
//! ```sh
//! cargo run -p dtu-net --example retry_controller
//! ```

use core::time::Duration;
use dtu_net::backoff::Backoff;
use dtu_net::breaker::BreakerConfig;
use dtu_net::controller::{
    Budget, Controller, Failure, NewJob, Policies, Policy, RetryContext, SchedulerConfig, TargetConfig,
};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Stands for what goes over the wire.
async fn read(context: RetryContext, register: Arc<u16>) -> Result<u16, Failure> {
    tokio::time::sleep(Duration::from_millis(20)).await;
    match &*context.target {
        "meter" => Ok(*register),
        // It did nothing, so that even what is not repeatable could be repeated; and it lives, which its breaker is told.
        "busy meter" if context.attempts == 1 => {
            Err(Failure::retry_after(Duration::from_millis(200)).unsent().answered())
        }
        "busy meter" => Ok(*register),
        _ => Err(Failure::TRANSIENT),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn core::error::Error>> {
    let delays = Backoff::exponential(Duration::from_millis(100), 2_000, Duration::from_secs(1));
    let policy = Policy::DEFAULT
        .backoff(delays)
        .max_attempts(3)
        .attempt_timeout(Duration::from_secs(1))
        .deadline(Duration::from_secs(4));
    let policies = Policies::new(policy)?.operation("read", policy.concurrency(4))?;
    let token = CancellationToken::new();
    let controller = Controller::start(SchedulerConfig::DEFAULT, policies, read, token)?;
    let budget = Budget::new(200, 10)?.trickle(Duration::from_secs(1))?;
    let breaker = BreakerConfig::DEFAULT.open_for(Duration::from_secs(1))?;
    let target = TargetConfig::DEFAULT.budget(budget).breaker(breaker);
    for name in ["meter", "busy meter", "no meter"] {
        controller.add_target(name, target)?;
    }

    let mut handles = Vec::new();
    for register in 0..20 {
        let target = ["meter", "busy meter", "no meter"][usize::from(register % 3)];
        handles.push((target, controller.submit(NewJob::new(target, "read", register).repeatable())?));
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    for context in controller.queries(None, 100) {
        println!(
            "job {} on {}: {} after {} attempts",
            context.id,
            context.target,
            context.why.name(),
            context.attempts
        );
    }
    for (target, handle) in handles {
        let id = handle.id();
        match handle.await {
            Ok(value) => println!("job {id} on {target}: {value}"),
            Err(error) => println!("job {id} on {target}: {error}"),
        }
    }
    println!("{:?}", controller.ledger());
    controller.shut_down(Duration::from_secs(1)).await;
    Ok(())
}
