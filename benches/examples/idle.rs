//! What an idle session costs a server in memory: the slope between a few sessions and many. For `benches/memory.sh`,
//! which raises the limit of open files.

use clap::Parser;
use core::time::Duration;
use dtu_benches::load::Registered;
use dtu_benches::process::{Memory, ServerProcess, serve};
use dtu_benches::servers::Server;
use std::io;

/// How often memory is read, and the most readings until two in a row are the same.
const SETTLE: Duration = Duration::from_millis(200);
const MAX_READINGS: usize = 25;

/// Measures the resident bytes of an idle session.
#[derive(Parser)]
struct Args {
    /// The servers, one after the other.
    #[arg(default_value = "plain")]
    servers: Vec<Server>,
    /// How many sessions are open at the first reading.
    #[arg(long, default_value_t = 2_000)]
    few: usize,
    /// How many at the second.
    #[arg(long, default_value_t = 18_000)]
    many: usize,
    /// Is the server instead of measuring it.
    #[arg(long, hide = true)]
    serve: Option<Server>,
}

fn main() -> io::Result<()> {
    let args = Args::parse();
    if let Some(server) = args.serve {
        return serve(server);
    }
    if args.few >= args.many {
        return Err(io::Error::other("there must be more sessions at the second reading than at the first"));
    }
    println!("server       sessions   resident bytes   anonymous bytes");
    let mut slopes = Vec::new();
    for &server in &args.servers {
        slopes.push((server, measure(server, args.few, args.many)?));
    }
    for (server, Slope { resident, anonymous }) in slopes {
        println!("{server}: {resident:.0} resident bytes a session, {anonymous:.0} of them anonymous");
    }
    Ok(())
}

/// Bytes a session.
struct Slope {
    resident: f64,
    anonymous: f64,
}

fn measure(server: Server, few: usize, many: usize) -> io::Result<Slope> {
    let process = ServerProcess::start(server)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut sessions = Vec::with_capacity(many);
        let mut readings = [few, many].map(|count| (count, None));
        for (count, memory) in &mut readings {
            for number in sessions.len()..*count {
                sessions.push(Registered::connect(process.address(), number).await?);
            }
            let settled = settled(&process).await?;
            println!("{server:<12} {count:>8} {:>16} {:>17}", settled.resident, settled.anonymous);
            *memory = Some(settled);
        }
        let gone = sessions.iter().filter(|session| !session.is_idle()).count();
        if gone > 0 {
            return Err(io::Error::other(format!("{gone} of {many} sessions were not open and silent at the end")));
        }
        let [(_, Some(at_few)), (_, Some(at_many))] = readings else { unreachable!("both were read") };
        let slope =
            |memory: fn(&Memory) -> u64| (memory(&at_many) as f64 - memory(&at_few) as f64) / (many - few) as f64;
        Ok(Slope { resident: slope(|memory| memory.resident), anonymous: slope(|memory| memory.anonymous) })
    })
}

/// The server's memory once it has stopped to change.
async fn settled(process: &ServerProcess) -> io::Result<Memory> {
    let mut last = process.memory()?;
    for _ in 0..MAX_READINGS {
        tokio::time::sleep(SETTLE).await;
        let memory = process.memory()?;
        if memory.resident == last.resident {
            return Ok(memory);
        }
        last = memory;
    }
    Err(io::Error::other(format!("the memory of the server still changes: {} bytes", last.resident)))
}
