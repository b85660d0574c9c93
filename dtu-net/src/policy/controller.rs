//! All rules of a retry controller from one file.

use super::breaker::BreakerSpec;
use super::budget::BudgetSpec;
use super::error::{Bound, Field, PolicyError, count};
use super::job::PolicySpec;
use super::place::{Place, PlacedError};
use crate::controller::{Budget, NAME_LEN_MAX, Policies, SchedulerConfig, TargetConfig};
use std::collections::BTreeMap;

/// What a retry controller goes by, not built yet. The default is [`SchedulerConfig::DEFAULT`], and
/// [`TargetConfig::DEFAULT`] and [`Policy::DEFAULT`](crate::controller::Policy::DEFAULT) for every target.
///
/// A table changes the fields that are in it, and leaves the others as they would be without it:
///
/// | table | changes |
/// |---|---|
/// | `defaults.policy` | the policy of all jobs |
/// | `defaults.operations.<name>` | that, for one operation |
/// | `targets.<name>.policy` | `defaults.policy`, for all operations on one target; `defaults.operations` have no say there |
/// | `targets.<name>.operations.<name>` | for one operation on one target: `policy` of the target if that is there, else what the defaults have for the operation |
/// | `targets.<name>` | of `defaults`: `max_in_flight`, the fields of `budget`, and `breaker` as a whole |
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "serde")] {
/// use dtu_net::controller::Policy;
/// use dtu_net::policy::ControllerSpec;
///
/// let text = r#"
/// [defaults.policy]
/// max_attempts = 5
///
/// [targets.meter-7.operations.read]
/// concurrency = 1
/// backoff = { base_ms = 500, cap_ms = 8000 }
/// "#;
/// let spec: ControllerSpec = toml::from_str(text).unwrap();
/// let config = spec.build().unwrap();
/// assert_eq!(*config.policies.of("meter-8", "read"), Policy::DEFAULT.max_attempts(5));
///
/// let spec: ControllerSpec = toml::from_str(&text.replace("8000", "400")).unwrap();
/// let error = "targets.meter-7.operations.read.backoff.base_ms has to be at most cap_ms";
/// assert_eq!(spec.build().unwrap_err().to_string(), error);
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct ControllerSpec {
    /// The limits of all targets together.
    pub process: ProcessSpec,
    /// What holds for every target.
    pub defaults: TargetSpec,
    /// What single targets have for themselves, by their names.
    pub targets: BTreeMap<String, TargetSpec>,
}

/// A [`SchedulerConfig`] that is not built yet. A field that is left out is that of [`SchedulerConfig::DEFAULT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct ProcessSpec {
    /// How many jobs there are, with those whose end was not fetched; at least 1.
    pub max_jobs: Option<usize>,
    /// How many targets there are; at least 1.
    pub max_targets: Option<usize>,
    /// How many attempts run at a time; at least 1.
    pub max_in_flight: Option<u32>,
    /// The retries of all targets together.
    pub budget: BudgetSpec,
}

/// The limits of a target, and the policies of the jobs on it.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct TargetSpec {
    /// How many attempts run at a time; at least 1.
    pub max_in_flight: Option<u32>,
    /// When it gets no attempts. Replaced as a whole: a field that is left out has the default of [`BreakerSpec`].
    pub breaker: Option<BreakerSpec>,
    /// Its retries.
    pub budget: BudgetSpec,
    /// The policy of all operations that have none of their own.
    pub policy: Option<PolicySpec>,
    /// The policies of single operations, by their names.
    pub operations: BTreeMap<String, PolicySpec>,
}

/// What a retry controller goes by, from a [`ControllerSpec`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ControllerConfig {
    /// For the scheduler.
    pub scheduler: SchedulerConfig,
    /// For the scheduler.
    pub policies: Policies,
    default: TargetConfig,
    targets: BTreeMap<String, TargetConfig>,
}

impl ControllerConfig {
    /// The limits of a target, to add it with; those of the defaults for one that was not named.
    #[must_use]
    pub fn target(&self, name: &str) -> TargetConfig {
        self.targets.get(name).copied().unwrap_or(self.default)
    }

    /// The targets that were named, in the order of their names.
    pub fn targets(&self) -> impl Iterator<Item = (&str, TargetConfig)> {
        self.targets.iter().map(|(name, config)| (name.as_str(), *config))
    }
}

impl ControllerSpec {
    /// Checks every field of every table and gives the configuration.
    ///
    /// # Errors
    ///
    /// The first field that is outside of its bounds, by its whole path: of the process, then of the defaults, then of the
    /// targets in the order of their names. A name over [`NAME_LEN_MAX`], and more policies than
    /// [`POLICIES`](crate::controller::POLICIES).
    pub fn build(&self) -> Result<ControllerConfig, PlacedError> {
        let scheduler = self.process.build().map_err(|error| Place::Process.error(error))?;
        let at_defaults = |error| Place::Target { target: None }.error(error);
        let default = self.defaults.limits(&TargetSpec::default()).map_err(at_defaults)?;
        let policies = self.default_policies()?;
        let mut config = ControllerConfig { scheduler, policies, default, targets: BTreeMap::new() };
        for (name, target) in &self.targets {
            self.build_target(&mut config, name, target)?;
        }
        Ok(config)
    }

    fn default_policies(&self) -> Result<Policies, PlacedError> {
        let default = self.defaults.policy.unwrap_or_default();
        let mut policies =
            default.build().and_then(Policies::new).map_err(|error| Place::Policy { target: None }.error(error))?;
        for (operation, spec) in &self.defaults.operations {
            policies = spec
                .build_over(&default)
                .and_then(|policy| policies.operation(operation, policy))
                .map_err(|error| Place::Operation { target: None, operation: operation.clone() }.error(error))?;
        }
        Ok(policies)
    }

    fn build_target(&self, config: &mut ControllerConfig, name: &str, spec: &TargetSpec) -> Result<(), PlacedError> {
        let target = Some(name.to_owned());
        let at_target = |error| Place::Target { target: target.clone() }.error(error);
        let limits = check_name(name).and_then(|()| spec.limits(&self.defaults)).map_err(at_target)?;
        config.targets.insert(name.to_owned(), limits);
        let default = self.defaults.policy.unwrap_or_default();
        let mut policies = core::mem::take(&mut config.policies);
        if let Some(policy) = &spec.policy {
            policies = policy
                .build_over(&default)
                .and_then(|policy| policies.target(name, policy))
                .map_err(|error| Place::Policy { target: target.clone() }.error(error))?;
        }
        for (operation, pair) in &spec.operations {
            let overridden = spec.policy.as_ref().or_else(|| self.defaults.operations.get(operation));
            let base = overridden.map_or(default, |policy| policy.over(&default));
            policies =
                pair.build_over(&base).and_then(|policy| policies.pair(name, operation, policy)).map_err(|error| {
                    Place::Operation { target: target.clone(), operation: operation.clone() }.error(error)
                })?;
        }
        config.policies = policies;
        Ok(())
    }
}

impl ProcessSpec {
    /// Checks every field and gives the limits.
    ///
    /// # Errors
    ///
    /// A limit that is zero, or what [`BudgetSpec::build`] says.
    pub fn build(&self) -> Result<SchedulerConfig, PolicyError> {
        let mut config = SchedulerConfig::DEFAULT.budget(self.budget.build(Budget::PROCESS)?);
        if let Some(max_jobs) = self.max_jobs {
            config = config.max_jobs(max_jobs);
        }
        if let Some(max_targets) = self.max_targets {
            config = config.max_targets(max_targets);
        }
        if let Some(max_in_flight) = self.max_in_flight {
            config = config.max_in_flight(max_in_flight);
        }
        config.check()?;
        Ok(config)
    }
}

impl TargetSpec {
    /// The limits of this over those of `base`, which are built already if they are not the same.
    fn limits(&self, base: &Self) -> Result<TargetConfig, PolicyError> {
        let mut config = TargetConfig::DEFAULT.budget(self.budget.build(base.budget.build(Budget::TARGET)?)?);
        if let Some(breaker) = self.breaker.or(base.breaker) {
            config = config.breaker(breaker.build()?);
        }
        if let Some(max_in_flight) = self.max_in_flight.or(base.max_in_flight) {
            count(Field::MaxInFlight, max_in_flight, 1, u32::MAX)?;
            config = config.max_in_flight(max_in_flight);
        }
        Ok(config)
    }
}

const fn check_name(name: &str) -> Result<(), PolicyError> {
    if name.len() > NAME_LEN_MAX {
        return Err(PolicyError::new(Field::NameLen, Bound::AtMost(NAME_LEN_MAX as u32)));
    }
    Ok(())
}
