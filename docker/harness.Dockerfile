# The image of a node, and of the links between regions: one program and the
# shared libraries that it was linked with, if any. The harness makes the
# folder root/ and builds this through the Docker API; see fixtures/container.
FROM scratch
COPY root/ /
USER 65532:65532
ENTRYPOINT ["/node"]
