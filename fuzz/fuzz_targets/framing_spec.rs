//! See [`dtu_proto::fuzzing::framing_spec`].
#![cfg_attr(fuzzing, no_main)]

dtu_fuzz::target!(dtu_proto::fuzzing::framing_spec);
