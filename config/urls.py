"""What Django answers: the admin, links in mails, and the health checks. `/graphql/` is mounted beside it, in
`config.asgi`.
"""

from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView

from apps.comments import views as comments
from apps.core import health
from apps.users.admin_forms import OwnPassword

admin.site.site_header = admin.site.site_title = "Broadside"
admin.site.index_title = "Administration"

urlpatterns = [
    path("", RedirectView.as_view(url="/graphql/")),
    path("admin/password_change/", admin.site.admin_view(OwnPassword.as_view())),
    path("admin/", admin.site.urls),
    path("unsubscribe/<str:token>", comments.unsubscribe),
    path("unsubscribe/<str:token>/", comments.unsubscribe),
    path("healthz", health.live),
    path("readyz", health.ready),
]
