//! See [`dtu_proto::fuzzing::presets`].
#![cfg_attr(fuzzing, no_main)]

dtu_fuzz::target!(dtu_proto::fuzzing::presets);
