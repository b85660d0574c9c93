//! `dtu`: decoder, server and device side for data transfer units.

mod address;
mod capture;
mod chaos;
mod cluster;
mod completions;
mod config;
mod connect;
mod decode;
mod demo;
mod fleet;
mod framings;
mod gateway;
mod health;
mod http;
mod log;
mod nats;
mod progress;
mod replay;
mod request;
mod serve;
mod settings;
mod sim;
mod sink;
mod stop;
mod summary;
mod times;
mod toml_error;

use clap::{CommandFactory, Parser, Subcommand};
use std::process::ExitCode;

/// Frames, links and sessions of data transfer units (DTUs).
#[derive(Debug, Parser)]
#[command(name = "dtu", version, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Decode(decode::Args),
    Framings(framings::Args),
    Serve(serve::Args),
    Config(config::Args),
    Connect(connect::Args),
    Demo(demo::Args),
    Chaos(chaos::Args),
    Sim(sim::Args),
    Request(request::Args),
    Replay(replay::Args),
    Completions(completions::Args),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Decode(args) => decode::run(&args),
        Command::Framings(args) => framings::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Connect(args) => connect::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Chaos(args) => chaos::run(&args),
        Command::Sim(args) => sim::run(&args),
        Command::Request(args) => request::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Completions(args) => completions::run(&args, Cli::command()),
    };
    outcome.unwrap_or_else(|error| {
        // One line: the causes are joined, and no backtrace.
        log::fail(format_args!("{error:#}"));
        ExitCode::FAILURE
    })
}
