"""What counts against whom, where somebody could guess, or have us send mails."""

import hashlib
from ipaddress import ip_network

from django.conf import settings

from apps.core.client import Client
from apps.core.throttling import Hits, Rate, network
from apps.users.models import SecurityEvent, SecurityEventKind, User

# Behind one address there may be a school; behind many, one attacker.
ADDRESS_FACTOR = 10
ACCOUNT_FACTOR = 5
# What one address gets mailed at most for one purpose, whoever asks for it.
MAILS = Rate(5, 3_600)


def sign_in(client: Client, email: str) -> Hits:
    """A sign-in counts against the client's address, against the account from there, and against the account.

    Not the latter from where its owner has signed in before: whoever guesses from elsewhere locks nobody out. One
    statement, where limits are on.
    """
    rate = _rate()
    if rate is None:
        return {}
    account, address = _account(email), network(client.ip)
    hits = {
        f"login:address:{address}": _times(rate, ADDRESS_FACTOR),
        f"login:address-account:{address}:{account}": rate,
    }
    owner = User.objects.filter(email=email).values("pk")
    logins = SecurityEvent.objects.filter(user_id__in=owner, kind=SecurityEventKind.LOGIN)
    if not logins.filter(ip__range=_neighbours(client.ip)).exists():
        hits[f"login:account:{account}"] = _times(rate, ACCOUNT_FACTOR)
    return hits


def register(client: Client, email: str) -> Hits:
    """A registration counts against the client's address; and as a mail, which it is to whoever has the account."""
    return {f"register:address:{network(client.ip)}": _rate(), **_mails("register", email)}


def mail(client: Client, email: str, purpose: str) -> Hits:
    """A mail counts against whoever asks for it, and against its address: of each purpose five an hour."""
    return {f"mail:address:{network(client.ip)}": _rate(), **_mails(purpose, email)}


def password_reset(client: Client) -> Hits:
    """Setting a password by a token counts against the client's address: hashing is work."""
    return {f"reset:address:{network(client.ip)}": _rate()}


def proof(user: User) -> Hits:
    """A password that is asked for again counts against the account: whoever has stolen a session may not guess it."""
    return {f"proof:user:{user.pk}": _rate()}


def _mails(purpose: str, email: str) -> Hits:
    return {f"mail:{purpose}:{_account(email)}": _rate() and MAILS}


def _rate() -> Rate | None:
    return Rate.parse(settings.RATE_LIMIT_LOGIN)


def _times(rate: Rate, factor: int) -> Rate:
    return Rate(rate.count * factor, rate.seconds)


def _account(email: str) -> str:
    """No address is kept where a limit is."""
    return hashlib.sha256(email.encode()).hexdigest()[:32]


def _neighbours(ip: str | None) -> tuple[str | None, str | None]:
    """The first and the last address of the network that an address counts by."""
    if ip is None:
        return None, None
    found = ip_network(network(ip))
    return str(found[0]), str(found[-1])
