# Toxiproxy's server, as go.mod pins it. docker/images.sh builds the context.
FROM scratch
COPY toxiproxy /toxiproxy
USER 65532:65532
ENTRYPOINT ["/toxiproxy"]
CMD ["-host=0.0.0.0"]
