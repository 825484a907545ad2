"""Extensions, and the tables of the broker that PostgreSQL is when BROKER_URL is unset."""

from django.contrib.postgres.operations import TrigramExtension
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from dramatiq_postgres import schema


def create_queue(apps: object, schema_editor: BaseDatabaseSchemaEditor) -> None:
    with schema_editor.connection.cursor() as cursor:
        schema.init(cursor)


def drop_queue(apps: object, schema_editor: BaseDatabaseSchemaEditor) -> None:
    schema_editor.execute("DROP SCHEMA dramatiq CASCADE")


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [TrigramExtension(), migrations.RunPython(create_queue, drop_queue)]
