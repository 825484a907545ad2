"""The page that a mail's link to its own end leads to."""

from http import HTTPStatus

from django.core.signing import BadSignature
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from apps.comments import mails, services, unsubscribing


# What could be forged is in the token. Mail programs, which post by themselves (RFC 8058), have no cookie to prove it.
@csrf_exempt
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """By GET a page with a button, and nothing else: scanners of mails follow links. By POST these mails end.

    404 for a token that we have not made. It looks at no cookie, and reads no body.
    """
    try:
        user_id, kinds = unsubscribing.read(token)
    except BadSignature:
        return _page("unknown", status=HTTPStatus.NOT_FOUND)
    if request.method == "POST":
        services.notices_switch_off(user_id=user_id, kinds=kinds)
    return _page("done" if request.method == "POST" else "question", about=mails.named(kinds, mails.ABOUT))


def _page(state: str, status: int = HTTPStatus.OK, **context: object) -> HttpResponse:
    # Without the request, whose processors would look for a session.
    return HttpResponse(render_to_string("comments/unsubscribe.html", {"state": state, **context}), status=status)
