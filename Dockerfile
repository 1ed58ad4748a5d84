# The server: docker build -t darkroom .
FROM rust:1.95.0-slim-bookworm AS cargo
# By which the memory allocator is built.
RUN apt-get update && apt-get install -y --no-install-recommends make && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY Cargo.toml Cargo.lock LICENSE ./
# An empty program in the real one's place, so that the layer below holds the compiled dependencies
# and stays until these two files change.
RUN mkdir src && touch src/lib.rs && echo 'fn main() {}' >src/main.rs

FROM cargo AS build
RUN cargo build --release --locked
COPY migrations migrations
COPY sdk sdk
COPY ui/built ui/built
COPY build.rs build.rs
COPY src src
# Copied files keep their times, by which cargo would take the empty program for the newer one.
RUN touch src/lib.rs src/main.rs && cargo build --release --locked

FROM debian:12.13-slim
# /data belongs to the user here, so that a new volume mounted on it does too.
RUN useradd --uid 10001 --no-create-home darkroom && install -d -o darkroom -g darkroom -m 750 /data
COPY --from=build /build/target/release/darkroom /usr/local/bin/
USER darkroom
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s CMD ["darkroom", "healthcheck"]
CMD ["darkroom", "serve"]
