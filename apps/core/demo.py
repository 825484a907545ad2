"""The demo accounts that seeding makes and `make run` shows. Only for a database that nobody else reaches."""

AUTHOR_EMAIL = "author@example.com"
STAFF_EMAIL = "staff@example.com"
PASSWORD = "broadside-demo"  # noqa: S105 - public on purpose
