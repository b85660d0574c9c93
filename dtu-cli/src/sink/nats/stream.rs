//! The stream: made where there is none, and judged where there is one.

use super::settings::{NatsSinkSettings, Storage, WhenFull};
use async_nats::jetstream::Context;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{CreateStreamErrorKind, GetStreamErrorKind};
use async_nats::jetstream::stream::{Config, DiscardPolicy, PersistenceMode, RetentionPolicy, StorageType};
use humantime::format_duration;

/// Makes sure that the stream is there and keeps what it is given. `longest` is the longest message, in bytes.
///
/// # Errors
/// Why it is not, or would not.
pub(super) async fn prepare(context: &Context, settings: &NatsSinkSettings, longest: usize) -> Result<(), String> {
    let name = &settings.stream;
    let config = match found(context, name).await? {
        Some(config) => config,
        None => match context.create_stream(wanted(settings)).await {
            Ok(stream) => {
                tracing::info!(stream = name, "the stream is created");
                stream.cached_info().config.clone()
            }
            // Another gateway was faster.
            Err(error) if exists(&error.kind()) => {
                found(context, name).await?.ok_or_else(|| format!("the stream {name} comes and goes"))?
            }
            Err(error) => return Err(format!("cannot create the stream {name}: {error}")),
        },
    };
    for concern in judge(&config, settings, longest)? {
        tracing::warn!(stream = name, "{concern}");
    }
    Ok(())
}

async fn found(context: &Context, name: &str) -> Result<Option<Config>, String> {
    match context.get_stream(name).await {
        Ok(stream) => Ok(Some(stream.cached_info().config.clone())),
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => Ok(None),
            GetStreamErrorKind::JetStream(_)
            | GetStreamErrorKind::EmptyName
            | GetStreamErrorKind::Request
            | GetStreamErrorKind::InvalidStreamName => Err(format!("cannot look at the stream {name}: {error}")),
        },
    }
}

fn exists(error: &CreateStreamErrorKind) -> bool {
    matches!(error, CreateStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NAME_EXIST)
}

/// The subjects of all records.
fn subjects(settings: &NatsSinkSettings) -> String {
    format!("{}.*.*", settings.prefix)
}

fn wanted(settings: &NatsSinkSettings) -> Config {
    Config {
        name: settings.stream.clone(),
        description: Some("what DTUs have sent".to_owned()),
        subjects: vec![subjects(settings)],
        storage: match settings.storage {
            Storage::File => StorageType::File,
            Storage::Memory => StorageType::Memory,
        },
        num_replicas: settings.replicas.into(),
        duplicate_window: settings.duplicate_window.0,
        max_age: settings.max_age.map(|age| age.0).unwrap_or_default(),
        max_bytes: settings.max_bytes.map_or(-1, |size| i64::try_from(size.0).unwrap_or(i64::MAX)),
        discard: match settings.when_full {
            WhenFull::Refuse => DiscardPolicy::New,
            WhenFull::DropOldest => DiscardPolicy::Old,
        },
        ..Config::default()
    }
}

/// What an operator should know of the stream.
///
/// # Errors
/// What makes it useless: it would not get the records, would not say that it has them, or would refuse some of them for ever.
fn judge(config: &Config, settings: &NatsSinkSettings, longest: usize) -> Result<Vec<String>, String> {
    let name = &settings.stream;
    let subjects = subjects(settings);
    if !config.subjects.iter().any(|subject| covers(subject, &subjects)) {
        let has = if config.subjects.is_empty() { "none".to_owned() } else { config.subjects.join(", ") };
        return Err(format!("the stream {name} does not take {subjects}; its subjects: {has}"));
    }
    if config.no_ack {
        return Err(format!("the stream {name} acknowledges nothing (no_ack)"));
    }
    if config.sealed {
        return Err(format!("the stream {name} is sealed"));
    }
    let max = usize::try_from(config.max_message_size).unwrap_or(0);
    if max > 0 && max < longest {
        return Err(format!(
            "the stream {name} takes messages up to {max} bytes, and a line may have {longest} with what stands around it: raise \
             its max_msg_size, or lower `limits.max_payload` of the gateway"
        ));
    }
    Ok(concerns(config, settings))
}

fn concerns(config: &Config, settings: &NatsSinkSettings) -> Vec<String> {
    let is_bounded = config.max_bytes > 0 || config.max_messages > 0 || config.max_messages_per_subject > 0;
    let drops = config.discard == DiscardPolicy::Old && is_bounded;
    let window = config.duplicate_window;
    let [has, wanted] = [window, settings.duplicate_window.0].map(format_duration);
    let age = format_duration(config.max_age);
    let cases = [
        (
            drops && settings.when_full == WhenFull::Refuse,
            "when it is full it drops its oldest records, read or not (discard: old)".to_owned(),
        ),
        (
            config.retention == RetentionPolicy::Interest,
            "it drops records that nobody has subscribed to (retention: interest)".to_owned(),
        ),
        (
            !config.max_age.is_zero() && settings.max_age.is_none_or(|age| config.max_age < age.0),
            format!("it drops records after {age} (max_age)"),
        ),
        (
            config.storage == StorageType::Memory && settings.storage == Storage::File,
            "it is kept in memory, and is gone with its server (storage: memory)".to_owned(),
        ),
        (
            config.persist_mode == Some(PersistenceMode::Async),
            "it acknowledges before it has stored (persist_mode: async)".to_owned(),
        ),
        (
            window < settings.duplicate_window.0,
            format!("it knows repeats for {has} only, not for {wanted} (duplicate_window)"),
        ),
        (
            config.num_replicas < settings.replicas.into(),
            format!("{} of its replicas are there, not {}", config.num_replicas, settings.replicas),
        ),
    ];
    cases.into_iter().filter(|(is_so, _)| *is_so).map(|(_, text)| text).collect()
}

/// Whether a stream's subject has all that `wanted` has; both may have wildcards.
fn covers(subject: &str, wanted: &str) -> bool {
    let (mut subject, mut wanted) = (subject.split('.'), wanted.split('.'));
    loop {
        match (subject.next(), wanted.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (Some("*"), Some(other)) if other != ">" => {}
            (Some(one), Some(other)) if one == other => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    /// A change of a stream that is fine, and what is said of it.
    type Case = (fn(&mut Config), &'static str);

    fn settings(text: &str) -> NatsSinkSettings {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn a_subject_covers_what_is_within_it() {
        for (subject, expected) in [
            ("dtu.*.*", true),
            ("dtu.>", true),
            (">", true),
            ("*.*.*", true),
            ("dtu.*", false),
            ("dtu.*.data", false),
            ("dtu.*.*.*", false),
            ("other.>", false),
            ("dtu", false),
        ] {
            assert_eq!(covers(subject, "dtu.*.*"), expected, "{subject}");
        }
        assert!(!covers("*", ">") && covers(">", "a"));
    }

    #[test]
    fn what_the_sink_makes_itself_is_of_no_concern() {
        let full =
            "max_age = '1d'\nduplicate_window = '1h'\nmax_bytes = '1GiB'\nwhen_full = 'drop_oldest'\nreplicas = 3";
        for text in ["", full, "storage = 'memory'"] {
            let settings = settings(text);
            assert_eq!(judge(&wanted(&settings), &settings, 1000), Ok(Vec::new()), "{text}");
        }
    }

    #[test]
    fn a_stream_that_would_lose_something_is_told() {
        let settings = settings("");
        let cases: [Case; 7] = [
            (|config| (config.discard, config.max_bytes) = (DiscardPolicy::Old, 1), "discard: old"),
            (|config| (config.discard, config.max_messages_per_subject) = (DiscardPolicy::Old, 1), "discard: old"),
            (|config| config.retention = RetentionPolicy::Interest, "retention: interest"),
            (|config| config.max_age = Duration::from_secs(3600), "after 1h (max_age)"),
            (|config| config.storage = StorageType::Memory, "storage: memory"),
            (|config| config.persist_mode = Some(PersistenceMode::Async), "persist_mode: async"),
            (|config| config.duplicate_window = Duration::from_secs(120), "repeats for 2m only, not for 10m"),
        ];
        for (change, expected) in cases {
            let mut config = wanted(&settings);
            change(&mut config);
            let told = judge(&config, &settings, 1000).unwrap();
            assert!(matches!(&told[..], [one] if one.contains(expected)), "{told:?}");
        }
    }

    #[test]
    fn a_stream_that_is_of_no_use_is_refused() {
        let settings = settings("");
        let cases: [Case; 4] = [
            (|config| config.subjects = vec!["dtu.*".to_owned(), "x".to_owned()], "its subjects: dtu.*, x"),
            (|config| config.no_ack = true, "no_ack"),
            (|config| config.sealed = true, "sealed"),
            (|config| config.max_message_size = 999, "takes messages up to 999 bytes"),
        ];
        for (change, expected) in cases {
            let mut config = wanted(&settings);
            change(&mut config);
            let told = judge(&config, &settings, 1000).unwrap_err();
            assert!(told.contains(expected), "{told:?}");
        }
    }
}
