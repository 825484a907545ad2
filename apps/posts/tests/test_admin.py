from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.posts.models import TAGS_MAX, Post, PostStatus, Tag, Tagging
from apps.users.models import User
from tests.statements import statements_of

pytestmark = pytest.mark.django_db

POSTS = reverse("admin:posts_post_changelist")
ADD = reverse("admin:posts_post_add")
TAGS = reverse("admin:posts_tag_changelist")
ADD_TAG = reverse("admin:posts_tag_add")


@pytest.fixture
def author() -> User:
    return User.objects.create_user("mira@example.com", first_name="Mira")


def make_post(author: User, title: str = "On bread", **fields: Any) -> Post:
    slug = fields.pop("slug", f"post-{Post.objects.count()}")
    return Post.objects.create(author=author, title=title, slug=slug, **fields)


def make_tags(*names: str) -> list[Tag]:
    return [Tag.objects.create(name=name, slug=name.lower()) for name in names]


def set_tags(post: Post, tags: list[Tag]) -> None:
    Tagging.objects.bulk_create(Tagging(post=post, tag=tag, position=place) for place, tag in enumerate(tags))


def edit_url(post: Post) -> str:
    return reverse("admin:posts_post_change", args=[post.pk])


def form_data(
    author: User, post: Post | None = None, tags: list[Tag] | None = None, /, **changes: str
) -> dict[str, str]:
    """What a browser sends: the post's fields and one row for each stored tag, followed by the new ones."""
    stored = list(post.taggings.order_by("position")) if post else []
    wanted = [tagging.tag for tagging in stored] if tags is None else tags
    data = {
        "author": str(author.pk),
        "title": post.title if post else "On bread",
        "body": post.body if post else "First paragraph.",
        "status": post.status if post else "draft",
        "version": str(post.version if post else 1),
        "taggings-TOTAL_FORMS": str(max(len(wanted), len(stored))),
        "taggings-INITIAL_FORMS": str(len(stored)),
    }
    if post and post.published_at:
        data |= when(post.published_at)
    for place, tag in enumerate(wanted):
        data[f"taggings-{place}-tag"] = str(tag.pk)
    for place, tagging in enumerate(stored):
        data |= {f"taggings-{place}-id": str(tagging.pk), f"taggings-{place}-post": str(tagging.post_id)}
        if place >= len(wanted):
            data |= {f"taggings-{place}-tag": str(tagging.tag_id), f"taggings-{place}-DELETE": "on"}
    return {**data, **changes}


def when(at: datetime) -> dict[str, str]:
    return {"published_at_0": f"{at:%Y-%m-%d}", "published_at_1": f"{at:%H:%M:%S}"}


def tag_names(post: Post) -> list[str]:
    assert [tagging.position for tagging in post.taggings.order_by("position")] == list(range(post.tags.count()))
    return [tagging.tag.name for tagging in post.taggings.select_related("tag").order_by("position")]


def test_lists_cost_the_same_for_2_and_for_20_rows(admin_client: Client) -> None:
    def add(numbers: range) -> None:
        for number in numbers:
            writer = User.objects.create_user(f"writer{number}@example.com", first_name="Writer")
            set_tags(make_post(writer), make_tags(f"Tag{number}"))

    add(range(2))
    few = [len(statements_of(admin_client, url)) for url in (POSTS, TAGS)]
    add(range(2, 20))
    assert [len(statements_of(admin_client, url)) for url in (POSTS, TAGS)] == few
    assert 3 < max(few) <= 5


def test_the_list_reads_no_bodies(admin_client: Client, author: User) -> None:
    make_post(author)
    listing = [sql for sql in statements_of(admin_client, POSTS) if '"posts_post"."title"' in sql]
    assert len(listing) == 1
    assert '"posts_post"."body"' not in listing[0]


def test_adds_a_draft_with_slug_excerpt_and_tags_in_order(admin_client: Client, author: User) -> None:
    assert admin_client.get(ADD).status_code == 200
    tags = make_tags("Rye", "Bread", "Winter")
    response = admin_client.post(ADD, form_data(author, None, tags, title="  Rye, at last "))
    post = Post.objects.get()
    assert response.status_code == 302
    assert (post.title, post.slug, post.excerpt) == ("Rye, at last", "rye-at-last", "First paragraph.")
    assert (post.author, post.status, post.published_at, post.version) == (author, "draft", None, 1)
    assert tag_names(post) == ["Rye", "Bread", "Winter"]


def test_a_second_post_of_the_same_title_gets_another_slug(admin_client: Client, author: User) -> None:
    make_post(author, slug="on-bread")
    assert admin_client.post(ADD, form_data(author)).status_code == 302
    slugs = set(Post.objects.values_list("slug", flat=True))
    assert len(slugs) == 2
    assert all(slug.startswith("on-bread") for slug in slugs)


def test_publishing_without_a_date_means_now(admin_client: Client, author: User) -> None:
    before = timezone.now()
    admin_client.post(ADD, form_data(author, status="published"))
    published_at = Post.objects.get().published_at
    assert published_at is not None
    assert before <= published_at <= timezone.now()


def test_scheduling_takes_a_date_in_the_future(admin_client: Client, author: User) -> None:
    at = timezone.now().replace(microsecond=0) + timedelta(days=1)
    admin_client.post(ADD, form_data(author, status="scheduled", **when(at)))
    assert Post.objects.get().published_at == at


@pytest.mark.parametrize(
    ("status", "days"),
    [("draft", -1), ("draft", 1), ("scheduled", None), ("scheduled", -1), ("published", 1)],
)
def test_status_and_date_have_to_agree(admin_client: Client, author: User, status: str, days: int | None) -> None:
    date = when(timezone.now() + timedelta(days=days)) if days else {}
    response = admin_client.post(ADD, form_data(author, status=status, **date))
    assert "published_at" in response.context["adminform"].form.errors
    assert not Post.objects.exists()


def test_archiving_what_was_scheduled_drops_its_date(admin_client: Client, author: User) -> None:
    ahead = timezone.now() + timedelta(days=1)
    post = make_post(author, status=PostStatus.SCHEDULED, published_at=ahead)
    assert admin_client.post(edit_url(post), form_data(author, post, status="archived")).status_code == 302
    post.refresh_from_db()
    assert (post.status, post.published_at) == ("archived", None)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"title": " \u200b "}, "title"),
        ({"title": "x" * 201}, "title"),
        ({"body": "x" * 100_001}, "body"),
        ({"body": "a\x00b"}, "body"),
        ({"author": "0"}, "author"),
        ({"status": "gone"}, "status"),
        ({"published_at_0": "someday"}, "published_at"),
        ({"version": ""}, "version"),
    ],
)
def test_shows_what_is_wrong(admin_client: Client, author: User, change: dict[str, str], field: str) -> None:
    response = admin_client.post(ADD, form_data(author, **change))
    assert field in response.context["adminform"].form.errors
    assert not Post.objects.exists()


def test_a_change_keeps_the_slug_and_the_exact_date_and_counts_the_version(admin_client: Client, author: User) -> None:
    published_at = timezone.now().replace(microsecond=123_456) - timedelta(days=1)
    old = published_at - timedelta(days=1)
    post = make_post(author, slug="first", body="Old.", status="published", published_at=published_at, updated_at=old)
    assert admin_client.get(edit_url(post)).status_code == 200
    data = form_data(author, post, title="Second title", body="New text.")
    assert admin_client.post(edit_url(post), data).status_code == 302
    post.refresh_from_db()
    assert (post.title, post.slug, post.body, post.excerpt) == (
        "Second title",
        "first",
        "New text.",
        "New text.",
    )
    assert (post.published_at, post.version) == (published_at, 2)
    assert post.updated_at > published_at


def test_saving_without_a_change_changes_nothing(admin_client: Client, author: User) -> None:
    post = make_post(author, published_at=timezone.now(), status="published")
    set_tags(post, make_tags("Rye"))
    stored = Post.objects.filter(pk=post.pk).values().get()
    assert admin_client.post(edit_url(post), form_data(author, post)).status_code == 302
    assert Post.objects.filter(pk=post.pk).values().get() == stored


def test_a_stale_version_is_refused_and_changes_nothing(admin_client: Client, author: User) -> None:
    post = make_post(author, version=3)
    response = admin_client.post(edit_url(post), form_data(author, post, version="2", title="Too late"))
    assert "Somebody else" in response.content.decode()
    post.refresh_from_db()
    assert (post.title, post.version) == ("On bread", 3)


def test_tags_can_be_swapped_removed_and_added(admin_client: Client, author: User) -> None:
    post = make_post(author)
    rye, bread, winter = make_tags("Rye", "Bread", "Winter")
    set_tags(post, [rye, bread])
    admin_client.post(edit_url(post), form_data(author, post, [bread, rye, winter]))
    assert tag_names(post) == ["Bread", "Rye", "Winter"]
    post.refresh_from_db()
    assert post.version == 2
    admin_client.post(edit_url(post), form_data(author, post, [winter]))
    assert tag_names(post) == ["Winter"]


def test_a_tag_can_be_given_once(admin_client: Client, author: User) -> None:
    (rye,) = make_tags("Rye")
    response = admin_client.post(ADD, form_data(author, None, [rye, rye]))
    assert response.status_code == 200
    assert "duplicate" in response.content.decode()
    assert not Post.objects.exists()


def test_a_post_has_at_most_ten_tags(admin_client: Client, author: User) -> None:
    tags = make_tags(*(f"Tag{number}" for number in range(TAGS_MAX + 1)))
    response = admin_client.post(ADD, form_data(author, None, tags))
    assert response.status_code == 200
    assert not Post.objects.exists()
    admin_client.post(ADD, form_data(author, None, tags[:TAGS_MAX]))
    assert len(tag_names(Post.objects.get())) == TAGS_MAX


def test_no_search_breaks_the_list(admin_client: Client) -> None:
    url = reverse("admin:posts_post_changelist")
    for search in ("-" * 250, '-"' * 125, "x" * 1_000):
        assert admin_client.get(url, {"q": search}).status_code == 200


def test_search_finds_words_of_title_and_body(admin_client: Client, author: User) -> None:
    make_post(author, "Baking rye", body="About loaves.")
    make_post(author, "Sailing", body="About tides.")
    for term in ("baked", "loaves", '"baking rye" -tides'):
        found = admin_client.get(POSTS, {"q": term}).context["cl"].queryset
        assert [post.title for post in found] == ["Baking rye"]
    assert admin_client.get(POSTS, {"q": "baking tides"}).context["cl"].result_count == 0
    assert admin_client.get(POSTS, {"q": " "}).context["cl"].queryset.count() == 2


@pytest.mark.parametrize("query", [{"status__exact": "draft"}, {"published_at__isnull": "True"}])
def test_filters_posts(admin_client: Client, author: User, query: dict[str, str]) -> None:
    make_post(author, "Draft")
    make_post(author, "Out", status="published", published_at=timezone.now())
    assert [post.title for post in admin_client.get(POSTS, query).context["cl"].queryset] == ["Draft"]


def test_deleting_selected_posts_asks_and_then_deletes(admin_client: Client, author: User) -> None:
    gone, kept = make_post(author, "Gone"), make_post(author, "Kept")
    data = {"action": "delete_selected", "_selected_action": [str(gone.pk)]}
    assert "Gone, with its comments" in admin_client.post(POSTS, data).content.decode()
    admin_client.post(POSTS, {**data, "post": "yes"})
    assert list(Post.objects.all()) == [kept]
    admin_client.post(reverse("admin:posts_post_delete", args=[kept.pk]), {"post": "yes"})
    assert not Post.objects.exists()


def test_an_unknown_post_is_missing(admin_client: Client) -> None:
    for pk in ("0", "nonsense", "9" * 30):
        response = admin_client.get(reverse("admin:posts_post_change", args=[pk]), follow=True)
        assert "doesn’t exist" in response.content.decode()


def test_tags_show_their_number_of_posts_and_lead_to_them(admin_client: Client, author: User) -> None:
    rye, bread = make_tags("Rye", "Bread")
    post = make_post(author)
    make_post(author, "Other")
    set_tags(post, [rye])
    page = admin_client.get(TAGS).content.decode()
    for tag, number, listed in ((rye, 1, [post]), (bread, 0, [])):
        url = f"{POSTS}?tags__id__exact={tag.pk}"
        assert f'<a href="{url}">{number} posts</a>' in page
        assert list(admin_client.get(url).context["cl"].queryset) == listed


def test_tags_are_added_searched_and_changed(admin_client: Client) -> None:
    assert admin_client.get(ADD_TAG).status_code == 200
    assert admin_client.post(ADD_TAG, {"name": "Sour dough", "slug": "sour-dough"}).status_code == 302
    tag = Tag.objects.get()
    url = reverse("admin:posts_tag_change", args=[tag.pk])
    assert admin_client.get(url).status_code == 200
    assert admin_client.post(url, {"name": "Sourdough", "slug": "sour-dough"}).status_code == 302
    assert [tag.name for tag in admin_client.get(TAGS, {"q": "SOURD"}).context["cl"].queryset] == ["Sourdough"]


def test_deleting_a_tag_keeps_its_posts(admin_client: Client, author: User) -> None:
    (rye,) = make_tags("Rye")
    set_tags(make_post(author), [rye])
    url = reverse("admin:posts_tag_delete", args=[rye.pk])
    assert "Rye, taken from its posts" in admin_client.get(url).content.decode()
    admin_client.post(url, {"post": "yes"})
    assert (Tag.objects.count(), Post.objects.count()) == (0, 1)


@pytest.mark.parametrize(
    "data", [{"name": "RYE", "slug": "other"}, {"name": "Other", "slug": "rye"}, {"name": " ", "slug": "a b"}]
)
def test_shows_what_is_wrong_with_a_tag(admin_client: Client, data: dict[str, str]) -> None:
    make_tags("Rye")
    response = admin_client.post(ADD_TAG, data)
    assert response.status_code == 200
    assert response.context["adminform"].form.errors
    assert Tag.objects.count() == 1


def test_authors_and_tags_are_offered_while_typing(admin_client: Client, author: User) -> None:
    (rye,) = make_tags("Rye")
    url, base = reverse("admin:autocomplete"), {"app_label": "posts"}
    users = admin_client.get(url, {**base, "model_name": "post", "field_name": "author", "term": "Mir"}).json()
    tags = admin_client.get(url, {**base, "model_name": "tagging", "field_name": "tag", "term": "ry"}).json()
    assert [result["id"] for result in users["results"]] == [str(author.pk)]
    assert [result["id"] for result in tags["results"]] == [str(rye.pk)]
