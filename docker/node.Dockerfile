# A node of the reference platform. docker/images.sh builds the context: a
# static fivenines, and empty folders for its user's data and marker.
FROM scratch
COPY fivenines /fivenines
COPY --chown=65532:65532 data /data
COPY --chown=65532:65532 data /started
USER 65532:65532
ENTRYPOINT ["/fivenines"]
