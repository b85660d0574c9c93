//! See [`dtu_proto::fuzzing::frame_decode`].
#![cfg_attr(fuzzing, no_main)]

dtu_fuzz::target!(dtu_proto::fuzzing::frame_decode);
