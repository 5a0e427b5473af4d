# The server. Build: docker build --network host -t frostline-server .
# Run it read-only: it writes to /data, a volume, and to /tmp alone (docker-compose.yml shows how).

# What of the lock the server needs; the hashes hold here too. This stage stays until a dependency changes.
FROM python:3.11-slim-bookworm AS dependencies
# The file system is read-only later, so bytecode is made now: TensorFlow would compile for half a minute at each start.
ENV UV_SYSTEM_CERTS=true UV_NO_CACHE=true UV_PYTHON_DOWNLOADS=never UV_COMPILE_BYTECODE=true
RUN python3 -m pip install --quiet --no-cache-dir --root-user-action=ignore 'uv>=0.13,<1' && uv venv --quiet /opt/frostline
WORKDIR /build
COPY requirements.lock pyproject.toml ./
COPY protos/pyproject.toml protos/
COPY zoo/pyproject.toml zoo/
COPY server/pyproject.toml server/
COPY client/pyproject.toml client/
RUN uv pip compile --quiet server/pyproject.toml --constraint requirements.lock --generate-hashes \
        --no-emit-package frostline-protos --no-emit-package frostline-zoo --output-file server.lock \
    && uv pip install --quiet --python /opt/frostline --require-hashes --requirement server.lock --constraint requirements.lock


FROM dependencies AS packages
COPY protos protos
COPY zoo zoo
COPY server server
RUN uv pip install --quiet --python /opt/frostline --no-deps --target /opt/packages ./protos ./zoo ./server


FROM python:3.11-slim-bookworm
RUN useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin frostline \
    && install --directory --owner frostline --group frostline --mode 0700 /data
COPY --from=dependencies /opt/frostline /opt/frostline
COPY --from=packages /opt/packages /opt/packages
ENV PATH=/opt/frostline/bin:$PATH PYTHONPATH=/opt/packages PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    KERAS_HOME=/tmp/keras
USER 10001:10001
VOLUME /data
EXPOSE 8470
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["python", "-m", "frostline_server.probe"]
ENTRYPOINT ["python", "-m", "frostline_server.main"]
CMD ["--data", "/data", "--listen", "0.0.0.0:8470"]
