//! Tests of this channel.
