//! See [`dtu_net::fuzzing::link_ops`].
#![cfg_attr(fuzzing, no_main)]

dtu_fuzz::target!(dtu_net::fuzzing::link_ops);
