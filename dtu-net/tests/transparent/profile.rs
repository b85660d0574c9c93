//! Profiles, and what is wrong with them.

use super::bench::spec;
use dtu_net::transparent::{
    EnvelopeSpec, HEARTBEATS_MAX, HeartbeatSpec, Key, Mode, Problem, ProfileSpec, REPLY_MAX, ReplySpec,
};
use dtu_proto::spec::FrameSpec;

fn problem(change: impl FnOnce(&mut ProfileSpec)) -> (Key, Problem, String) {
    let mut spec = spec();
    change(&mut spec);
    let error = spec.build().expect_err("it is wrong");
    (error.key, error.problem, error.to_string())
}

#[test]
fn the_longest_answer_is_known_before_anyone_registers() {
    let answer = |text: String| {
        let mut spec = ProfileSpec::new("modbus_rtu", "{id:digit*1..11},{:any*2}{x:any*5}");
        spec.registration.reply = ReplySpec::Bytes(text);
        spec.build().map(drop).map_err(|error| error.problem)
    };
    assert_eq!(answer("A".repeat(REPLY_MAX)), Ok(()));
    let too_long = |len| Err(Problem::TooLong { len, limit: REPLY_MAX });
    assert_eq!(answer("A".repeat(REPLY_MAX + 1)), too_long(REPLY_MAX + 1));
    assert_eq!(answer("A".repeat(REPLY_MAX - 16) + "{id}{x}"), Ok(()));
    assert_eq!(answer("A".repeat(REPLY_MAX - 15) + "{id}{x}"), too_long(REPLY_MAX + 1));
    assert_eq!(answer("{}".into()), Err(Problem::UnknownName { at: 0 }));
}

/// That of Hongdian's DDP.
fn envelope() -> EnvelopeSpec {
    EnvelopeSpec {
        framing: "hongdian_ddp_tcp".into(),
        kind_at: 1,
        register: 1,
        data_up: 9,
        data_down: 0x89,
        logout: Some(2),
        logout_reply: ReplySpec::None,
    }
}

#[test]
fn an_envelope_that_contradicts_itself_is_refused_by_its_key() {
    let told = |envelope: EnvelopeSpec| {
        let mut spec = spec();
        spec.envelope = Some(envelope);
        spec.build().map(drop).map_err(|error| error.to_string())
    };
    let error = |line: &str| Err(line.to_owned());
    let named = |framing: &str, kind_at| EnvelopeSpec { framing: framing.into(), kind_at, ..envelope() };
    let declared = |kind_at| {
        let framing = FrameSpec::new(64).start(b"K").payload_from(2).end(b"\n").into();
        EnvelopeSpec { framing, kind_at, ..envelope() }
    };
    for (envelope, expected) in [
        (envelope(), Ok(())),
        // What leaves cannot be taken for what comes.
        (EnvelopeSpec { data_down: 9, ..envelope() }, Ok(())),
        (EnvelopeSpec { kind_at: 14, ..envelope() }, Ok(())),
        (
            EnvelopeSpec { kind_at: 15, ..envelope() },
            error("envelope.kind_at: it has to stand in the header, which has 15 bytes"),
        ),
        (declared(1), Ok(())),
        (declared(2), error("envelope.kind_at: it has to stand in the header, which has 2 bytes")),
        (named("line", 0), error("envelope.kind_at: it has to stand in the header, which has 0 bytes")),
        (EnvelopeSpec { register: 9, ..envelope() }, error("envelope.register: it is the same as envelope.data_up")),
        (EnvelopeSpec { register: 2, ..envelope() }, error("envelope.register: it is the same as envelope.logout")),
        (EnvelopeSpec { logout: Some(9), ..envelope() }, error("envelope.logout: it is the same as envelope.data_up")),
    ] {
        assert_eq!(told(envelope.clone()), expected, "{envelope:?}");
    }
}

fn heartbeat(token: &str) -> HeartbeatSpec {
    HeartbeatSpec { token: token.into(), reply: ReplySpec::None }
}

#[test]
fn what_is_wrong_is_told_by_its_key() {
    let told = [
        problem(|spec| spec.framing = "modbus_rut".into()),
        problem(|spec| spec.framing = "hongdian_ddp_udp".into()),
        problem(|spec| spec.framing = FrameSpec::new(9).into()),
        problem(|spec| spec.registration.pattern = "REG".into()),
        problem(|spec| spec.registration.reply = ReplySpec::Bytes("{imei}".into())),
        problem(|spec| spec.registration.reply = ReplySpec::Bytes(String::new())),
        problem(|spec| spec.registration.within_ms = 0),
        problem(|spec| spec.registration.max_bytes = 16),
        problem(|spec| spec.heartbeat.push(heartbeat(""))),
        problem(|spec| spec.heartbeat.push(heartbeat("{id}"))),
        problem(|spec| spec.heartbeat.extend([heartbeat("A"), heartbeat("A")])),
        problem(|spec| spec.heartbeat.push(heartbeat(&"A".repeat(65)))),
        problem(|spec| spec.heartbeat = (0..=HEARTBEATS_MAX).map(|index| heartbeat(&index.to_string())).collect()),
        problem(|spec| spec.heartbeat = vec![HeartbeatSpec { reply: ReplySpec::Bytes(r"\".into()), ..heartbeat("A") }]),
        problem(|spec| spec.idle_ms = u64::MAX),
        problem(|spec| spec.stall_ms = 0),
        problem(|spec| spec.retention_ms = 0),
        problem(|spec| spec.line.queue = 0),
        problem(|spec| spec.line.quarantine_ms = 86_400_001),
        problem(|spec| spec.line.suspicion_ms = 86_400_001),
        problem(|spec| spec.line.confirm_ms = 86_400_001),
        problem(|spec| {
            spec.registration.mode = Mode::Prefix;
            spec.registration.pattern = "{id:digit*4}{x:any*61}".into();
        }),
        problem(|spec| spec.envelope = Some(EnvelopeSpec { framing: "ddp".into(), ..envelope() })),
        problem(|spec| spec.envelope = Some(EnvelopeSpec { kind_at: 64, ..envelope() })),
    ];
    let lines: Vec<&str> = told.iter().map(|(_, _, line)| &**line).collect();
    assert_eq!(
        lines,
        [
            "framing: there is no framing of this name",
            "framing: it is a framing of datagrams, and this is a stream",
            "framing: end: none of length, fixed_len and end says where a frame ends",
            "registration.pattern: there is no place {id:…}",
            "registration.reply: the name at byte 0 is none of the registration",
            "registration.reply: it is empty",
            "registration.within_ms: it has to be from 1 to 86400000",
            "registration.max_bytes: it has to be from 17 to 65536",
            "heartbeat[0].token: it is empty",
            "heartbeat[0].token: the brace at byte 0 has no other one, or no place here",
            "heartbeat[1].token: it is the same as the one with the index 0",
            "heartbeat[0].token: it has 65, and may have 64",
            "heartbeat: it has 8, and may have 7",
            "heartbeat[0].reply: no escape that is known stands at byte 0",
            "idle_ms: it has to be from 1 to 86400000",
            "stall_ms: it has to be from 1 to 86400000",
            "retention_ms: it has to be from 1 to 604800000",
            "line.queue: it has to be from 1 to 4096",
            "line.quarantine_ms: it has to be from 0 to 86400000",
            "line.suspicion_ms: it has to be from 0 to 86400000",
            "line.confirm_ms: it has to be from 0 to 86400000",
            "registration.pattern: it has 65, and may have 64",
            "envelope.framing: there is no framing of this name",
            "envelope.kind_at: it has to be from 0 to 63",
        ]
    );
}

#[cfg(feature = "serde")]
mod files {
    use super::ProfileSpec;
    use dtu_net::transparent::{Found, FramingSpec, Pattern, Takeover, Unknown};

    #[test]
    fn a_framing_is_a_name_or_a_table() {
        let text = r#"
            registration = { pattern = "{id:digit*4}", reply = "echo" }
            unknown = "refuse"
            takeover = "refuse"
            [framing]
            start = ["68"]
            end = "16"
            fixed_len = 5
        "#;
        let spec: ProfileSpec = toml::from_str(text).unwrap();
        assert!(matches!(spec.framing, FramingSpec::Declared(_)));
        let profile = spec.build().unwrap();
        assert_eq!((profile.unknown(), profile.takeover()), (Unknown::Refuse, Takeover::Refuse));
        let wrong = text.replace("\"16\"", "\"1\"");
        assert!(toml::from_str::<ProfileSpec>(&wrong).unwrap_err().to_string().contains("end"), "the key is named");
    }

    /// Every block of TOML in the guide is a profile.
    #[test]
    fn the_profiles_of_the_guide_are_read_and_fit_what_its_units_say() {
        let guide = include_str!("../../../docs/transparent.md");
        let profiles: Vec<ProfileSpec> = guide
            .split("```toml\n")
            .skip(1)
            .map(|block| toml::from_str(block.split("```").next().unwrap()).unwrap_or_else(|error| panic!("{error}")))
            .collect();
        let registrations: [&[u8]; 4] = [
            b"REG:13800138000,89860012345678901234\r\n",
            b"\x01\x02\x03\x04\x05\x06",
            b"\x7B\x01\x00\x1613912345678\x01\x02\x03\x04\x05\x06\x7B",
            b"\xAA\x0113912345678\r",
        ];
        let ids = ["13800138000", "010203040506", "13912345678", "13912345678"];
        assert_eq!(profiles.len(), registrations.len());
        for ((profile, registration), id) in profiles.iter().zip(registrations).zip(ids) {
            profile.build().unwrap_or_else(|error| panic!("{error}"));
            let pattern = Pattern::new(&profile.registration.pattern).unwrap();
            let Found::Whole(found) = pattern.at_front(registration, false) else { panic!("{registration:02X?}") };
            assert_eq!((found.id(), found.len()), (id, registration.len()));
        }
    }

    #[test]
    fn keys_that_are_not_known_are_refused_by_name() {
        let text = "framing = \"modbus_rtu\"\nregistration = { pattern = \"{id:digit}\" }\n";
        assert!(toml::from_str::<ProfileSpec>(text).unwrap().build().is_ok());
        for key in
            ["idle = 3", "unknown = \"maybe\"", "framing = 3", "heartbeat = [{ token = \"A\", answer = \"none\" }]"]
        {
            let text = if key.starts_with("framing") {
                text.replace("framing = \"modbus_rtu\"", key)
            } else {
                format!("{text}{key}")
            };
            let error = toml::from_str::<ProfileSpec>(&text).unwrap_err().to_string();
            let name = if key.contains("answer") { "answer" } else { key.split(' ').next().unwrap() };
            assert!(error.contains(name), "{error}");
        }
    }
}
