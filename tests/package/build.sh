#!/usr/bin/env bash
# Builds the Debian package and prints its path. cargo-deb is built once, into the target folder.
#
# cargo-deb and not dpkg-deb by hand: it writes the maintainer scripts as debhelper does, finds out the dependencies on libraries,
# marks conffiles, and reads all from Cargo.toml, so that a plain `cargo deb` makes the same package once the man pages are there.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-$PWD/target}
version=3.8.0

if [ "$("$target/tools/bin/cargo-deb" --version 2>/dev/null)" != "$version" ]; then
  cargo install --quiet --locked --root "$target/tools" cargo-deb --version "$version" >&2
fi
# Here and not in $target: the paths in Cargo.toml are the crate's.
cargo run --quiet --locked --example generate -- target/package >&2
cargo build --quiet --locked --release >&2
"$target/tools/bin/cargo-deb" --locked --no-build --quiet
