"""A composite foreign key, which Django has no words for: a reply is on the post that its parent is on."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("comments", "0001_initial")]
    operations = [
        migrations.RunSQL(
            """
            ALTER TABLE comments_comment
            ADD CONSTRAINT comment_reply_belongs_to_its_parents_post
            FOREIGN KEY (parent_id, post_id) REFERENCES comments_comment (id, post_id)
            DEFERRABLE INITIALLY DEFERRED
            """,
            "ALTER TABLE comments_comment DROP CONSTRAINT comment_reply_belongs_to_its_parents_post",
        )
    ]
