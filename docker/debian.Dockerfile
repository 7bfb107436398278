# A program of this machine's Debian packages with the libraries it needs; its
# paths are those of the official image. docker/images.sh builds the context.
FROM scratch
COPY root /
ARG DATA
COPY --chown=65534:65534 data ${DATA}
USER 65534:65534
