"""The database of the tests, for processes of their own."""

from urllib.parse import quote, urlencode

from psycopg.conninfo import conninfo_to_dict

from apps.core.db import conninfo


def database_url(**overrides: str) -> str:
    """What `conninfo` says, as a DATABASE_URL."""
    server = {name: str(value) for name, value in conninfo_to_dict(conninfo(**overrides)).items()}
    name, user, password, port = (
        quote(server.pop(part, ""), safe="") for part in ("dbname", "user", "password", "port")
    )
    # A socket's folder can only be given as ?host=…, and libpq takes a plus for a plus.
    return f"postgresql://{user}:{password}@:{port}/{name}?{urlencode(server, quote_via=quote)}"
