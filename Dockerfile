# syntax=docker/dockerfile:1
# One image, every command: `gateway serve` by default, admin tasks by the same CLI.

FROM python:3.13-slim-trixie AS build
WORKDIR /src
COPY config/requirements config/requirements
RUN python -m venv /opt/build \
 && /opt/build/bin/pip install --no-cache-dir --require-hashes -r config/requirements/build.txt \
 && python -m venv --without-pip /opt/gateway \
 && python -m pip --python /opt/gateway/bin/python install --no-cache-dir --require-hashes \
        -r config/requirements/runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY gateway gateway
COPY schemas schemas
COPY config config
# The build tools stay behind: what runs holds nothing that could build or fetch.
RUN /opt/build/bin/python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /tmp/wheel . \
 && python -m pip --python /opt/gateway/bin/python install --no-cache-dir --no-deps /tmp/wheel/*.whl

FROM python:3.13-slim-trixie
COPY --from=build /opt/gateway /opt/gateway
RUN install -d -m 0700 -o 10001 -g 10001 /var/lib/gateway
ENV PATH=/opt/gateway/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GATEWAY_HOME=/var/lib/gateway
# Numeric, so that an orchestrator can see that it is not root.
USER 10001:10001
VOLUME ["/var/lib/gateway"]
EXPOSE 8443 8444
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=20s --retries=3 CMD ["gateway", "doctor", "--ready"]
ENTRYPOINT ["gateway"]
CMD ["serve"]
