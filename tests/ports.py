"""Ports for processes that have to be told where to listen."""

import socket


def free_port() -> int:
    """One that nobody listens at; somebody else may by the time it is used. Hand on a socket where you can."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])
