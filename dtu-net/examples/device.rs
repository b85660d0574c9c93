//! A device that sends ten readings and waits until the server has taken them, over as many connections as it takes. Run it
//! beside the example `server`, and stop and start that in between:
//!
//! ```sh
//! cargo run -p dtu-net --example device
//! ```

use core::time::Duration;
use dtu_net::driver::{Client, ClientConfig, Target};
use dtu_net::{DeviceConfig, Outgoing};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn core::error::Error>> {
    let target = Target::Tcp("127.0.0.1:55125".to_owned());
    let config = ClientConfig::new(DeviceConfig::new("meter-7")?);
    let client = Client::start(target, config, CancellationToken::new())?;

    let mut watch = client.session().watch();
    tokio::spawn(async move {
        loop {
            let change = watch.changed().await;
            let cause = change.cause.map(|cause| format!(": {cause}")).unwrap_or_default();
            println!("{}{cause}", change.state.name());
        }
    });

    let mut receipts = Vec::new();
    for number in 0..10 {
        let reading = Outgoing::new(0, format!("reading {number}"));
        receipts.push(client.session().send(reading).await?);
    }
    for receipt in receipts {
        println!("reading {}: {}", receipt.seq(), receipt.await.name());
    }
    client.shut_down(Duration::from_secs(5)).await;
    Ok(())
}
