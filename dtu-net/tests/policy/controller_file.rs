//! The file of a retry controller: what each table changes, and the exact text of each error.

use core::time::Duration;
use dtu_net::backoff::{Backoff, Jitter};
use dtu_net::breaker::{BreakerConfig, FailureRate};
use dtu_net::controller::{Budget, NAME_LEN_MAX, POLICIES, Policies, Policy, SchedulerConfig, TargetConfig};
use dtu_net::policy::{
    BreakerSpec, BudgetSpec, ControllerSpec, DelaysSpec, Period, Place, PolicySpec, ProcessSpec, TargetSpec,
};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// The example of the documentation, so that it stays true.
fn documented() -> &'static str {
    let page = include_str!("../../../docs/controller.md");
    let (_, rest) = page.split_once("```toml\n").unwrap();
    rest.split_once("```").unwrap().0
}

fn read(text: &str) -> ControllerSpec {
    toml::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn said(text: &str) -> String {
    read(text).build().map(|_| ()).unwrap_err().to_string()
}

#[test]
fn an_empty_file_is_the_defaults_of_the_controller() {
    assert_eq!(read(""), ControllerSpec::default());
    let config = read("").build().unwrap();
    assert_eq!(config.scheduler, SchedulerConfig::DEFAULT);
    assert_eq!(*config.policies.of("any", "thing"), Policy::DEFAULT);
    assert_eq!(config.target("any"), TargetConfig::DEFAULT);
    assert_eq!(config.targets().count(), 0);
}

#[test]
fn the_documented_file_is_what_the_page_says() {
    let config = read(documented()).build().unwrap();
    let budget = |share, burst, trickle| Budget::new(share, burst).unwrap().trickle(MS(trickle)).unwrap();
    let process = SchedulerConfig::DEFAULT.max_jobs(20_000).max_targets(500).max_in_flight(64);
    assert_eq!(config.scheduler, process.budget(budget(100, 50, 2_000)));

    let rate = FailureRate { window: MS(60_000), permille: 500, min_calls: 20 };
    let breaker = BreakerConfig::DEFAULT.rate(rate).unwrap().without_consecutive().unwrap();
    let target = TargetConfig::DEFAULT.breaker(breaker.open_for(MS(15_000)).unwrap());
    let any = target.max_in_flight(8).budget(budget(200, 5, 10_000));
    let slow = target.max_in_flight(1).budget(budget(50, 2, 60_000));
    assert_eq!(config.target("not in the file"), any);
    assert_eq!(config.targets().collect::<Vec<_>>(), [("hall 2/meter 1", any), ("meter-7", slow)]);
    assert_eq!(config.target("meter-7"), slow);

    let backoff = |base, cap| Backoff::exponential(MS(base), 2_000, MS(cap)).jitter(Jitter::Full);
    let all = Policy::DEFAULT
        .backoff(backoff(500, 60_000))
        .max_attempts(8)
        .attempt_timeout(MS(5_000))
        .deadline(MS(600_000))
        .concurrency(4);
    let firmware = all.attempt_timeout(MS(120_000)).without_deadline().concurrency(1);
    let meter = all.max_attempts(20).backoff(backoff(5_000, 300_000));
    let policies: [(&str, &str, Policy); 6] = [
        ("other", "read", all),
        ("other", "firmware", firmware),
        ("meter-7", "write", meter),
        // What a target has for itself goes before what the operation has.
        ("meter-7", "firmware", meter),
        ("meter-7", "read", meter.max_attempts(3).backoff(backoff(5_000, 20_000))),
        ("hall 2/meter 1", "firmware", firmware.max_attempts(2)),
    ];
    for (target, operation, policy) in policies {
        assert_eq!(*config.policies.of(target, operation), policy, "{target} {operation}");
    }
}

#[test]
fn what_is_written_is_read_back() {
    let spec = read(documented());
    assert_eq!(read(&toml::to_string(&spec).unwrap()), spec);
    let json = serde_json::to_string(&spec).unwrap();
    assert_eq!(serde_json::from_str::<ControllerSpec>(&json).unwrap(), spec);

    let policy = PolicySpec {
        max_attempts: Some(1),
        attempt_timeout_ms: Some(2),
        deadline_ms: Some(Period::Millis(3)),
        concurrency: Some(4),
        backoff: DelaysSpec {
            base_ms: Some(5),
            factor: Some(1.5),
            cap_ms: Some(6),
            jitter: Some(Jitter::Proportional(7)),
        },
    };
    let budget = BudgetSpec { share_permille: Some(8), burst: Some(9), trickle_ms: Some(Period::Never) };
    let target = TargetSpec {
        max_in_flight: Some(10),
        breaker: Some(BreakerSpec::default()),
        budget,
        policy: Some(policy),
        operations: [("a \"b\"\n".to_owned(), policy), (String::new(), PolicySpec::default())].into(),
    };
    let full = ControllerSpec {
        process: ProcessSpec { max_jobs: Some(11), max_targets: Some(12), max_in_flight: Some(13), budget },
        defaults: target.clone(),
        targets: [("x.y".to_owned(), target), ("z".to_owned(), TargetSpec::default())].into(),
    };
    assert_eq!(read(&toml::to_string(&full).unwrap()), full);
    assert_eq!(serde_json::from_str::<ControllerSpec>(&serde_json::to_string(&full).unwrap()).unwrap(), full);
    let config = full.build().unwrap();
    let delays = Backoff::exponential(MS(5), 1_500, MS(6)).jitter(Jitter::Proportional(7));
    let built = Policy::DEFAULT.backoff(delays).max_attempts(1).attempt_timeout(MS(2)).deadline(MS(3)).concurrency(4);
    assert_eq!(*config.policies.of("any", "thing"), built);
    assert_eq!(config.target("any"), TargetConfig::DEFAULT.max_in_flight(10).budget(Budget::new(8, 9).unwrap()));
}

#[test]
fn a_field_that_is_left_out_is_that_of_the_table_above() {
    let text = "[defaults.policy]\nmax_attempts = 2\n[defaults.operations.read]\nconcurrency = 3\n";
    let pair = "[targets.a.operations.read]\ndeadline_ms = 50000\n";
    let of = |text: String| *read(&text).build().unwrap().policies.of("a", "read");
    let base = Policy::DEFAULT.max_attempts(2);
    assert_eq!(of(format!("{text}{pair}")), base.concurrency(3).deadline(MS(50_000)));
    let own = "[targets.a.policy]\nattempt_timeout_ms = 7\n";
    assert_eq!(of(format!("{text}{pair}{own}")), base.attempt_timeout(MS(7)).deadline(MS(50_000)));
    assert_eq!(
        of(format!("{text}{own}")),
        base.attempt_timeout(MS(7)),
        "the target's policy goes before the operation's"
    );
    // An empty table is there too.
    assert_eq!(of(format!("{text}[targets.a.policy]")), base);

    let config =
        read("[defaults]\nmax_in_flight = 3\nbreaker = { probes = 2 }\n[targets.a]\nbreaker = {}").build().unwrap();
    let breaker = BreakerConfig::DEFAULT.probes(2).unwrap();
    assert_eq!(config.target("b"), TargetConfig::DEFAULT.max_in_flight(3).breaker(breaker));
    assert_eq!(config.target("a"), TargetConfig::DEFAULT.max_in_flight(3), "a breaker is one field");
}

#[test]
fn each_error_names_the_whole_path_of_the_field_and_its_bound() {
    let cases = [
        ("process", "max_jobs = 0", "process.max_jobs has to be at least 1"),
        ("process", "max_targets = 0", "process.max_targets has to be at least 1"),
        ("process", "max_in_flight = 0", "process.max_in_flight has to be at least 1"),
        ("process.budget", "burst = 0", "process.budget.burst has to be at least 1"),
        ("process.budget", "burst = 1000001", "process.budget.burst has to be at most 1000000"),
        ("process.budget", "share_permille = 1001", "process.budget.share_permille has to be at most 1000"),
        ("process.budget", "trickle_ms = 0", "process.budget.trickle_ms has to be at least 1 ms"),
        ("defaults.budget", "trickle_ms = 86400001", "defaults.budget.trickle_ms has to be at most 86400000 ms"),
        (
            "defaults.budget",
            "share_permille = 0\ntrickle_ms = \"never\"",
            "defaults.budget.share_permille or budget.trickle_ms has to be there",
        ),
        ("defaults", "max_in_flight = 0", "defaults.max_in_flight has to be at least 1"),
        ("defaults.breaker", "probes = 0", "defaults.breaker.probes has to be at least 1"),
        ("defaults.policy", "max_attempts = 0", "defaults.policy.max_attempts has to be at least 1"),
        ("defaults.policy", "concurrency = 0", "defaults.policy.concurrency has to be at least 1"),
        ("defaults.policy", "attempt_timeout_ms = 0", "defaults.policy.attempt_timeout_ms has to be at least 1 ms"),
        ("defaults.policy", "deadline_ms = 2592000001", "defaults.policy.deadline_ms has to be at most 2592000000 ms"),
        (
            "defaults.policy",
            "attempt_timeout_ms = 2592000001\ndeadline_ms = \"never\"",
            "defaults.policy.attempt_timeout_ms has to be at most 2592000000 ms",
        ),
        (
            "defaults.policy",
            "attempt_timeout_ms = 5\ndeadline_ms = 4",
            "defaults.policy.attempt_timeout_ms has to be at most deadline_ms",
        ),
        // The one that is in the file is named, not the one that it contradicts.
        ("defaults.policy", "deadline_ms = 9999", "defaults.policy.deadline_ms has to be at least attempt_timeout_ms"),
        (
            "defaults.policy",
            "attempt_timeout_ms = 3600001",
            "defaults.policy.attempt_timeout_ms has to be at most deadline_ms",
        ),
        ("defaults.policy.backoff", "factor = nan", "defaults.policy.backoff.factor has to be a finite number"),
        ("defaults.policy.backoff", "factor = 0.5", "defaults.policy.backoff.factor has to be at least 1"),
        ("defaults.policy.backoff", "base_ms = 0", "defaults.policy.backoff.base_ms has to be at least 1 ms"),
        ("defaults.policy.backoff", "base_ms = 60001", "defaults.policy.backoff.base_ms has to be at most cap_ms"),
        ("defaults.policy.backoff", "cap_ms = 999", "defaults.policy.backoff.cap_ms has to be at least base_ms"),
        (
            "defaults.policy.backoff",
            "base_ms = 2000\ncap_ms = 1000",
            "defaults.policy.backoff.base_ms has to be at most cap_ms",
        ),
        (
            "defaults.policy.backoff",
            "jitter = { proportional_permille = 1001 }",
            "defaults.policy.backoff.jitter.proportional_permille has to be at most 1000",
        ),
        ("defaults.operations.read", "max_attempts = 0", "defaults.operations.read.max_attempts has to be at least 1"),
        ("targets.meter-7", "max_in_flight = 0", "targets.meter-7.max_in_flight has to be at least 1"),
        (
            "targets.meter-7.breaker.rate",
            "window_ms = 1000\npermille = 0\nmin_calls = 1",
            "targets.meter-7.breaker.rate.permille has to be at least 1",
        ),
        ("targets.meter-7.budget", "burst = 0", "targets.meter-7.budget.burst has to be at least 1"),
        (
            "targets.meter-7.policy.backoff",
            "factor = inf",
            "targets.meter-7.policy.backoff.factor has to be a finite number",
        ),
        (
            "targets.meter-7.operations.read.backoff",
            "cap_ms = 86400001",
            "targets.meter-7.operations.read.backoff.cap_ms has to be at most 86400000 ms",
        ),
        (
            "targets.meter-7.operations.read.backoff",
            "cap_ms = 999",
            "targets.meter-7.operations.read.backoff.cap_ms has to be at least base_ms",
        ),
        (
            "targets.\"hall 2.\\\"b\\\"\".operations.\"\"",
            "max_attempts = 0",
            "targets.\"hall 2.\\\"b\\\"\".operations.\"\".max_attempts has to be at least 1",
        ),
    ];
    for (table, fields, error) in cases {
        assert_eq!(said(&format!("[{table}]\n{fields}\n")), error, "{table}: {fields}");
    }
}

#[test]
fn what_the_page_says_of_errors_is_so() {
    let changed = |from: &str, to: &str| {
        assert_eq!(documented().matches(from).count(), 1, "{from}");
        said(&documented().replace(from, to))
    };
    let errors = [
        changed("factor = 2.0", "factor = nan"),
        changed("cap_ms = 20000", "cap_ms = 4000"),
        changed("max_attempts = 8", "max_attempts = 0"),
        changed("burst = 50,", "burst = 0,"),
        changed("burst = 5 }", "burst = 5, share_permille = 0, trickle_ms = \"never\" }"),
    ];
    for error in errors {
        assert!(include_str!("../../../docs/controller.md").contains(&format!("| `{error}`")), "{error}");
    }
}

#[test]
fn an_error_can_be_told_apart_without_its_text() {
    let error = read("[targets.a.operations.b]\nmax_attempts = 0").build().map(|_| ()).unwrap_err();
    assert_eq!(error.place, Place::Operation { target: Some("a".to_owned()), operation: "b".to_owned() });
    assert_eq!(error.error, PolicySpec { max_attempts: Some(0), ..PolicySpec::default() }.build().unwrap_err());
}

#[test]
fn names_and_the_number_of_policies_have_their_bounds() {
    let [most, more] = [NAME_LEN_MAX, NAME_LEN_MAX + 1].map(|len| "x".repeat(len));
    let error = |place: String| format!("the length of a name in {place} has to be at most 255");
    assert!(read(&format!("[targets.{most}.operations.{most}]\n[defaults.operations.{most}]")).build().is_ok());
    assert_eq!(said(&format!("[targets.{more}]")), error(format!("targets.{more}")));
    assert_eq!(said(&format!("[targets.a.operations.{more}]")), error(format!("targets.a.operations.{more}")));
    assert_eq!(said(&format!("[defaults.operations.{more}]")), error(format!("defaults.operations.{more}")));

    let named = |count| (0..count).map(|number| (format!("{number:05}"), PolicySpec::default())).collect();
    let mut spec = ControllerSpec::default();
    spec.defaults.operations = named(POLICIES);
    assert!(spec.build().is_ok());
    spec.defaults.operations = named(POLICIES + 1);
    let error = spec.build().map(|_| ()).unwrap_err().to_string();
    assert_eq!(error, "the number of policies in defaults.operations.65536 has to be at most 65536");
}

#[test]
fn what_no_field_can_hold_is_an_error_of_the_format() {
    for text in [
        "[procedure]",
        "[defaults]\nmax_attempts = 3",
        "[defaults.policy]\nrepeatable = true",
        "[defaults.policy]\nmax_attempts = -1",
        "[defaults.policy]\ndeadline_ms = -1",
        "[defaults.policy]\ndeadline_ms = 1.5",
        "[defaults.policy]\ndeadline_ms = \"ever\"",
        "[defaults.policy]\nattempt_timeout_ms = \"never\"",
        "[defaults.policy.backoff]\nmax_attempts = 3",
        "[defaults.budget]\nshare_permille = 65536",
        "[targets]\na = 1",
    ] {
        assert!(toml::from_str::<ControllerSpec>(text).is_err(), "{text}");
    }
    let error = toml::from_str::<ControllerSpec>("[defaults.policy]\ndeadline_ms = \"ever\"").unwrap_err().to_string();
    assert!(error.contains("line 2") && error.contains("milliseconds or \"never\""), "{error}");
}

#[test]
fn a_file_reaches_the_policies_of_a_scheduler() {
    let config = read(documented()).build().unwrap();
    let policies: Policies = config.policies.clone();
    #[expect(
        clippy::disallowed_methods,
        reason = "there is no other way to make an `Instant`; only differences matter"
    )]
    let now = std::time::Instant::now();
    let mut scheduler = dtu_net::controller::Scheduler::new(config.scheduler, policies, 1, now).unwrap();
    for (name, target) in config.targets() {
        scheduler.add_target(now, name, target).unwrap();
    }
    let job = |operation: &str| dtu_net::controller::NewJob::new("meter-7", operation, ()).repeatable();
    let id = scheduler.submit(now, job("read")).unwrap();
    scheduler.submit(now, job("write")).unwrap();
    let start = scheduler.poll_start(now).unwrap();
    assert_eq!((start.context.id, start.context.max_attempts), (id, 3));
    assert_eq!(start.context.deadline, Some(now + MS(600_000)));
    assert!(scheduler.poll_start(now).is_none(), "one attempt at a time on this target");
}
