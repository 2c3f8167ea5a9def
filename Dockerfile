# A static binary and nothing else: no shell, no package, no user but a number.
#
#   docker build -t rookery .          compiles in a Go image, for any platform
#   scripts/image.sh build             the same, or with podman or buildah and the
#                                      Go of this machine where there is no engine
ARG GO_IMAGE=docker.io/library/golang:1.26
FROM --platform=$BUILDPLATFORM ${GO_IMAGE} AS build
WORKDIR /src
# The modules change less often than the code: a layer of their own.
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS=linux
ARG TARGETARCH=amd64
ARG VERSION=devel
ARG COMMIT=unknown
# The same flags as in scripts/release.sh. /out is the root of the image; its
# tmp holds the sockets over which the workers of a node talk to each other.
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -buildvcs=false \
      -ldflags "-s -w -buildid= -X main.version=$VERSION -X main.commit=$COMMIT" -o /out/rookery ./cmd/rookery \
 && mkdir -m 1777 /out/tmp

FROM scratch
COPY --from=build /out/ /
# Any number but 0 will do; this one is nobody's.
USER 65532:65532
# In a container all hosts are the container's own; which ports leave it is said
# where it is started. Keep 7690 inside: it asks for no password. A node is alone
# unless ROOKERY_GOSSIP and ROOKERY_PEER are set: see deploy/compose.yaml.
ENV ROOKERY_TCP=0.0.0.0:7600 ROOKERY_HTTP=0.0.0.0:7680 ROOKERY_ADMIN=0.0.0.0:7690 ROOKERY_GOSSIP= ROOKERY_PEER=
EXPOSE 7600 7680 7690 7700 7701/tcp 7701/udp
# /livez and not /readyz: a node that drains is not to be killed for it.
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=3 CMD ["/rookery", "health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/rookery"]
CMD ["serve"]
