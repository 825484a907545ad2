import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.comments.models import Comment
from apps.posts.models import Post
from apps.users.models import User
from tests.statements import statements_of

pytestmark = pytest.mark.django_db

COMMENTS = reverse("admin:comments_comment_changelist")


@pytest.fixture
def post() -> Post:
    author = User.objects.create_user("mira@example.com", first_name="Mira")
    return Post.objects.create(
        author=author, title="On bread", slug="bread", status="published", published_at=timezone.now()
    )


def make_comment(post: Post, parent: Comment | None = None, body: str = "Well said.", **fields: object) -> Comment:
    return Comment.objects.create(
        post=post,
        author=post.author,
        parent=parent,
        depth=parent.depth + 1 if parent else 0,
        body=body,
        **fields,
    )


def page_of(comment: Comment, page: str = "change") -> str:
    return reverse(f"admin:comments_comment_{page}", args=[comment.pk])


def delete_selected(client: Client, *comments: Comment) -> None:
    selected = [str(comment.pk) for comment in comments]
    data = {"action": "delete_selected", "_selected_action": selected, "post": "yes"}
    assert client.post(COMMENTS, data).status_code == 302


def test_the_list_costs_the_same_for_2_and_for_20_rows(admin_client: Client, post: Post) -> None:
    def add(numbers: range) -> None:
        for number in numbers:
            writer = User.objects.create_user(f"writer{number}@example.com", first_name="Writer")
            about = Post.objects.create(author=writer, title=f"Post {number}", slug=f"post-{number}")
            make_comment(about)

    add(range(2))
    few = len(statements_of(admin_client, COMMENTS))
    add(range(2, 20))
    assert len(statements_of(admin_client, COMMENTS)) == few
    assert 3 < few <= 5


def test_the_list_reads_no_bodies_of_posts(admin_client: Client, post: Post) -> None:
    make_comment(post)
    statements = statements_of(admin_client, COMMENTS)
    assert any('"comments_comment"."body"' in sql for sql in statements)
    assert not any('"posts_post"."body"' in sql or '"search_vector"' in sql for sql in statements)


def test_comments_are_found_by_text_author_and_state(admin_client: Client, post: Post) -> None:
    first = make_comment(post, body="Rye needs patience.")
    gone = make_comment(post, body="", deleted_at=timezone.now())
    make_comment(post, gone, body="Sorry to hear that.")
    for query, number in (({"q": "PATIENCE"}, 1), ({"q": "mira@"}, 3), ({"deleted_at__isempty": "0"}, 1)):
        assert admin_client.get(COMMENTS, query).context["cl"].result_count == number
    assert "(deleted)" in admin_client.get(COMMENTS).content.decode()
    assert admin_client.get(COMMENTS, {"deleted_at__isempty": "1", "q": "rye"}).context["cl"].queryset.get() == first


def test_a_comment_is_shown_and_cannot_be_changed(admin_client: Client, post: Post) -> None:
    comment = make_comment(post)
    assert "Well said." in admin_client.get(page_of(comment)).content.decode()
    assert admin_client.post(page_of(comment), {"body": "Forged."}).status_code == 403
    assert admin_client.get(reverse("admin:comments_comment_add")).status_code == 403
    comment.refresh_from_db()
    assert comment.body == "Well said."


def test_deleting_a_comment_with_replies_leaves_its_place(admin_client: Client, post: Post) -> None:
    comment = make_comment(post)
    reply = make_comment(post, comment)
    assert admin_client.get(page_of(comment, "delete")).status_code == 200
    assert admin_client.post(page_of(comment, "delete"), {"post": "yes"}).status_code == 302
    comment.refresh_from_db()
    assert comment.body == ""
    assert comment.deleted_at is not None
    assert admin_client.get(page_of(comment)).status_code == 200
    assert admin_client.post(page_of(comment, "delete"), {"post": "yes"}).status_code == 403
    delete_selected(admin_client, reply)
    assert not Comment.objects.exists()


def test_selected_comments_go_with_the_replies_that_are_selected_too(admin_client: Client, post: Post) -> None:
    top = make_comment(post)
    reply = make_comment(post, top)
    answer = make_comment(post, reply)
    other = make_comment(post)
    kept = make_comment(post, other)
    delete_selected(admin_client, top, reply, answer, other)
    assert list(Comment.objects.order_by("id").values_list("pk", "body")) == [
        (other.pk, ""),
        (kept.pk, kept.body),
    ]


def test_an_empty_place_that_is_selected_stays_while_it_has_replies(admin_client: Client, post: Post) -> None:
    gone = make_comment(post, body="", deleted_at=timezone.now())
    make_comment(post, gone)
    delete_selected(admin_client, gone)
    assert Comment.objects.count() == 2
