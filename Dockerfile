# PostgreSQL of Debian with kyrodb, built as Debian's package:
#
#   podman build -t kyrodb .
#   podman run -e POSTGRES_PASSWORD=... -v kyrodb:/var/lib/postgresql/data -p 5432:5432 kyrodb
#
# BASE is an image of a Debian that has a supported PostgreSQL; PACKAGES are more to install.
ARG BASE=docker.io/library/debian:bookworm

FROM ${BASE} AS build
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      build-essential debhelper fakeroot libxxhash-dev python3 postgresql-server-dev-all
COPY . /build/kyrodb
WORKDIR /build/kyrodb
RUN pg_buildext updatecontrol && dpkg-buildpackage -us -uc -b

FROM ${BASE}
ARG PACKAGES=
ENV LANG=C.UTF-8
COPY --from=build /build/*.deb /tmp/kyrodb/
COPY tools/image-entry.sh /usr/local/bin/
# no cluster of Debian's, since the data are in a volume
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends postgresql-common && \
    sed -i 's/^#*create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf && \
    rm -f /tmp/kyrodb/*-dbgsym_* && \
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends /tmp/kyrodb/*.deb ${PACKAGES} && \
    rm -rf /tmp/kyrodb /var/lib/apt/lists/* && \
    install -d -o postgres -g postgres -m 700 /var/lib/postgresql/data
USER postgres
VOLUME /var/lib/postgresql/data
EXPOSE 5432
STOPSIGNAL SIGINT
ENTRYPOINT ["image-entry.sh"]
