//! See [`dtu_proto::fuzzing::deframe_chunks`].
#![cfg_attr(fuzzing, no_main)]

dtu_fuzz::target!(dtu_proto::fuzzing::deframe_chunks);
