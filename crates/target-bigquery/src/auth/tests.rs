//! Tests of credentials: the kinds, where they are looked for, the life of a token.

mod broken;
mod kinds;
mod life;
mod order;
