//! Endpoints and rules that contradict themselves.

use crate::{SECOND, back};
use core::time::Duration;
use dtu_net::backoff::LONGEST;
use dtu_net::failover::{ENDPOINTS_MAX, FailoverConfig, FailoverError, Field, PROBE_EVERY_MIN, Plan, Rank};

#[test]
fn what_is_wrong_is_told_by_its_field() {
    let build = |ranks: &[Rank]| Plan::new(ranks, FailoverConfig::DEFAULT).unwrap_err();
    assert_eq!(build(&[]), FailoverError::NoEndpoint);
    let many = [Rank::new(0); ENDPOINTS_MAX + 1];
    assert_eq!(build(&many), FailoverError::TooManyEndpoints { count: 17, limit: 16 });
    let zero = build(&[Rank::new(0), Rank::new(0), Rank { weight: 0, ..Rank::new(0) }]);
    assert_eq!(zero, FailoverError::Weight { endpoint: 2 });
    assert_eq!(zero.to_string(), "weight of endpoint 2: it has to be 1 at least");
}

#[test]
fn times_are_within_their_bounds() {
    let one = [Rank::new(0)];
    let error = |config| Plan::new(&one, config).unwrap_err();
    let over = LONGEST + Duration::from_nanos(1);
    let time = |field, given, least| FailoverError::Time { field, given, least, most: LONGEST };
    assert_eq!(error(back(over, SECOND, SECOND)), time(Field::Hold, over, Duration::ZERO));
    assert_eq!(error(back(SECOND, over, SECOND)), time(Field::Spread, over, Duration::ZERO));
    let short = PROBE_EVERY_MIN - Duration::from_nanos(1);
    assert_eq!(error(back(SECOND, SECOND, short)), time(Field::ProbeEvery, short, PROBE_EVERY_MIN));
    assert_eq!(error(back(SECOND, SECOND, over)), time(Field::ProbeEvery, over, PROBE_EVERY_MIN));
    assert!(Plan::new(&one, back(LONGEST, LONGEST, LONGEST)).is_ok());
    assert!(Plan::new(&one, back(Duration::ZERO, Duration::ZERO, PROBE_EVERY_MIN)).is_ok());
}
