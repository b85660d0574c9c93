//! Servers that are measured in turns, and the median of each.

use serde::Serialize;
use std::io;

/// A server and what it did in its turns.
#[derive(Debug, Serialize)]
pub struct Contestant<T> {
    /// Its name.
    pub server: &'static str,
    /// What stands for all turns.
    pub median: T,
    /// Each of them.
    pub turns: Vec<T>,
}

/// Gives each server so many turns, at least one, in rotation: nobody always runs behind the same neighbour.
///
/// # Errors
///
/// The first of `measure`.
pub fn in_turn<S: Copy + Into<&'static str>, T>(
    servers: &[S],
    rounds: usize,
    mut measure: impl FnMut(S) -> io::Result<T>,
    sum_up: impl Fn(&[T]) -> T,
) -> io::Result<Vec<Contestant<T>>> {
    let mut turns: Vec<Vec<T>> = servers.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds.max(1) {
        for turn in 0..servers.len() {
            let who = (turn + round) % servers.len();
            turns[who].push(measure(servers[who])?);
        }
    }
    let contestant =
        |(server, turns): (&S, Vec<T>)| Contestant { server: (*server).into(), median: sum_up(&turns), turns };
    Ok(servers.iter().zip(turns).map(contestant).collect())
}

/// The median of some values, the upper one where there are two.
///
/// # Panics
///
/// Without a value.
#[must_use]
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::{in_turn, median};
    use crate::servers::Server;

    #[test]
    fn each_server_has_its_turns_and_nobody_always_comes_first() {
        let mut order = Vec::new();
        let measure = |server: Server| {
            order.push(server.name());
            Ok(order.len() as f64)
        };
        let contestants =
            in_turn(&[Server::Plain, Server::DtuNet], 3, measure, |turns| median(turns.iter().copied())).unwrap();
        assert_eq!(order, ["plain", "dtu-net", "dtu-net", "plain", "plain", "dtu-net"]);
        let seen: Vec<_> = contestants.iter().map(|of| (of.server, of.median, &of.turns[..])).collect();
        assert_eq!(seen, [("plain", 4.0, &[1.0, 4.0, 5.0][..]), ("dtu-net", 3.0, &[2.0, 3.0, 6.0][..])]);
    }
}
