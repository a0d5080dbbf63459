# One small image per program: user, catalog, order, gateway, and orderflow for what is done by hand.
#
#   docker build --target gateway --tag orderflow-gateway .

FROM rust:1-bookworm AS sources
WORKDIR /orderflow
COPY . .

# What decides the dependencies: the manifests, with an empty program in place of every file that they name or imply.
FROM sources AS manifests
RUN find . -type f -regextype posix-extended \
        ! -regex '.*/(Cargo\.(toml|lock)|build\.rs|src/(lib|main)\.rs|src/bin/.*\.rs|(tests|benches|examples)/.*\.rs)' -delete \
 && find . -type d -empty -delete \
 && echo '#![allow(warnings)] fn main() {}' | tee $(find . -name '*.rs') > /dev/null

FROM rust:1-bookworm AS build
WORKDIR /orderflow
# Said once: dependencies built for other packages, or with other features, would not count the second time.
ENV CARGO_PROFILE_RELEASE_STRIP=true \
    BUILD="cargo build --locked --release --package orderflow-user --package orderflow-catalog \
--package orderflow-order --package orderflow-gateway --package orderflow-cli"
# COPY compares contents, so this layer stays until a manifest changes.
COPY --from=manifests /orderflow .
RUN $BUILD
COPY . .
# The sources are older than what was built from their stand-ins, and cargo goes by time. The libraries are those that the
# programs link to, all of them glibc's and gcc's; the certificates that MongoDB is checked by are compiled in.
RUN find . -name '*.rs' -not -path './target/*' -exec touch {} + \
 && $BUILD \
 && mkdir /libraries \
 && cd target/release \
 && ldd orderflow orderflow-user orderflow-catalog orderflow-order orderflow-gateway \
  | grep -o '/lib[^ ]*' | sort -u | xargs cp --parents --dereference --target-directory /libraries

# No shell and no package manager: nothing to misuse, and little to keep up to date. A fix of glibc comes with the next build.
FROM scratch AS runtime
COPY --from=build /libraries /
USER 10001:10001

FROM runtime AS user
COPY --from=build /orderflow/target/release/orderflow-user /usr/local/bin/
ENV LISTEN=0.0.0.0:7001
EXPOSE 7001
ENTRYPOINT ["orderflow-user"]

FROM runtime AS catalog
COPY --from=build /orderflow/target/release/orderflow-catalog /usr/local/bin/
ENV LISTEN=0.0.0.0:7002
EXPOSE 7002
ENTRYPOINT ["orderflow-catalog"]

FROM runtime AS order
COPY --from=build /orderflow/target/release/orderflow-order /usr/local/bin/
ENV LISTEN=0.0.0.0:7003
EXPOSE 7003
ENTRYPOINT ["orderflow-order"]

FROM runtime AS gateway
COPY --from=build /orderflow/target/release/orderflow-gateway /usr/local/bin/
ENV LISTEN=0.0.0.0:8080
EXPOSE 8080
ENTRYPOINT ["orderflow-gateway"]

# Last, so that a build without a target gives it.
FROM runtime AS orderflow
COPY --from=build /orderflow/target/release/orderflow /usr/local/bin/
ENTRYPOINT ["orderflow"]
