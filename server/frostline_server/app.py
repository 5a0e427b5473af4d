"""The gRPC server: its options, health, reflection, and how it starts and stops."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from frostline_server.jail.locks import Sandbox
from frostline_server.services.errors import ErrorInterceptor
from frostline_server.wiring import Wiring

OPTIONS = [
    ("grpc.max_receive_message_length", 4 << 20),
    ("grpc.max_concurrent_streams", 100),
    # The next messages of a stream arrive while Python is busy with the last one, instead of after it.
    ("grpc.http2.lookahead_bytes", 4 << 20),
    # And no more than these: left to itself, gRPC takes from a fast client five times as many ahead of who reads them.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.so_reuseport", 0),  # otherwise a second server takes half of the calls, without a word
    # Clients ask whether the server is still there every 30 seconds, also while they watch a quiet job.
    ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
]

SANDBOX = "frostline.sandbox"
"""The health service answers for this name whether files are read in a full jail."""

SWITCH_SECONDS = 0.0002
"""How long a thread that hashes may keep the interpreter from the event loop, which wants it a moment for each message.
With Python's 5 ms a stream of messages waits most of its time."""

log = structlog.get_logger()


class PortTakenError(Exception):
    """Somebody else listens there."""


async def serve(wiring: Wiring, announce: Callable[[str], None]) -> None:
    """Serves until SIGTERM or SIGINT. Calls `announce` with HOST:PORT once it answers.

    Raises:
        PortTakenError: the address cannot be listened on.
    """
    settings = wiring.settings
    sys.setswitchinterval(SWITCH_SECONDS)
    interceptors = [*([wiring.metrics.calls] if wiring.metrics else []), ErrorInterceptor()]
    server = grpc.aio.server(
        interceptors=interceptors, options=OPTIONS, maximum_concurrent_rpcs=settings.concurrent_calls
    )
    for service in wiring.services:
        service.add(service.servicer, server)
    names = [service.name for service in wiring.services]
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    reflection.enable_server_reflection([*names, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
    try:
        port = server.add_insecure_port(settings.listen)
    except RuntimeError as error:
        raise PortTakenError(settings.listen) from error
    if wiring.metrics and settings.metrics:
        try:
            log.info("serving metrics", address=wiring.metrics.start())
        except OSError as error:
            raise PortTakenError(settings.metrics) from error

    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    await server.start()
    await wiring.start()
    for name in ["", *names]:
        await servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    await _tell_of_sandbox(wiring.sandbox, servicer)
    address = f"{settings.listen.rpartition(':')[0]}:{port}"
    log.info("serving", address=address, data=str(settings.data))
    announce(address)

    await asked.wait()
    log.info("stopping", grace_seconds=settings.grace_seconds)
    await servicer.enter_graceful_shutdown()
    await asyncio.gather(server.stop(settings.grace_seconds), wiring.stop())
    if wiring.metrics:
        await asyncio.to_thread(wiring.metrics.stop)
    log.info("stopped")


async def _tell_of_sandbox(sandbox: Sandbox, servicer: health.aio.HealthServicer) -> None:
    if sandbox.complete:
        log.info("files are read in a full jail", landlock=sandbox.landlock_version)
    else:
        log.warning("files are read in a jail that lacks locks", missing=sandbox.missing)
    status = health_pb2.HealthCheckResponse
    await servicer.set(SANDBOX, status.SERVING if sandbox.complete else status.NOT_SERVING)
