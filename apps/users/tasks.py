"""Background work of the users slice. Actors are thin: load by id, do one thing."""

import dramatiq
from django.core.mail import send_mail
from django.template.loader import render_to_string

from apps.users.models import User


@dramatiq.actor(max_retries=10)
def send_welcome_mail(user_id: int) -> None:
    """Greet a new user. An account that is gone by now gets no mail."""
    user = User.objects.filter(pk=user_id).first()
    if user is None:
        return
    body = render_to_string("users/welcome.txt", {"user": user})
    send_mail("Welcome to Broadside", body, None, [user.email])
