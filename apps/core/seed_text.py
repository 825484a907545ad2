"""Believable text for seeding. All of it follows from the `Random` that is passed in, nothing else."""

import re
import unicodedata
from collections.abc import Iterator
from itertools import islice
from random import Random

from apps.core import seed_words as words
from apps.core.seed_words import Topic

TAGS_MAX = len(words.TOPICS) + len(words.LABELS) + len(words.TOPICS) * len(words.QUALIFIERS)

_PEOPLE = [(given.split(), family.split()) for given, family in words.PEOPLE]
_ASCII = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "ß": "ss", "ı": "i", "'": "", "’": ""})


def person(random: Random) -> tuple[str, str]:
    """A given name and a family name from the same part of the world."""
    given, family = random.choice(_PEOPLE)
    return random.choice(given), random.choice(family)


def mail_name(first_name: str, last_name: str) -> str:
    """The part before the @ of an address, in ASCII: `soren.nygard`; `reader` where nothing is Latin."""
    plain = f"{first_name}.{last_name}".lower().translate(_ASCII)
    plain = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^a-z.-]", "", plain).strip(".")
    return plain or "reader"


def bio(random: Random) -> str:
    """One or two sentences about a person; for every fourth person nothing."""
    if random.random() < 0.25:
        return ""
    topic, job, city = random.choice(words.TOPICS), random.choice(words.JOBS), random.choice(words.CITIES)
    interest = random.choice(("Writes about", "Here for", "Still learning about", "Mostly reads about"))
    return f"{job} in {city}. {interest} {topic.subject}."


def tag_names(count: int) -> list[str]:
    """`count` different tag names, at most TAGS_MAX: subjects and labels in turn, then finer subjects."""
    return list(islice(_tag_names(), count))


def _tag_names() -> Iterator[str]:
    names = [topic.name for topic in words.TOPICS]
    for place, label in enumerate(words.LABELS):
        yield from names[2 * place : 2 * place + 2]
        yield label
    for qualifier in words.QUALIFIERS:
        yield from (f"{qualifier} {topic.subject}" for topic in words.TOPICS)


def title(random: Random, topic: Topic) -> str:
    return _fill(random, topic, random.choice(words.TITLES))


def body(random: Random, topic: Topic) -> str:
    """A post of four to twelve paragraphs in Markdown, no sentence twice."""
    sentences = iter(random.sample(words.SENTENCES, len(words.SENTENCES)))
    headings = iter(random.sample(words.HEADINGS, len(words.HEADINGS)))

    def paragraph() -> str:
        return " ".join(_fill(random, topic, text) for text in islice(sentences, random.randint(2, 4)))

    blocks = [_fill(random, topic, random.choice(words.OPENINGS)) + " " + paragraph(), paragraph()]
    for section in range(random.randint(1, 3)):
        blocks += ["## " + _fill(random, topic, next(headings)), paragraph()]
        if section == 0:
            blocks.append("\n".join(f"- {_capitalized(step)}" for step in topic.steps))
        elif random.random() < 0.4:
            blocks.append("> " + paragraph())
    blocks.append(_fill(random, topic, random.choice(words.CLOSINGS)))
    return "\n\n".join(blocks)


def comment(random: Random, topic: Topic, addressee: str | None) -> str:
    """A comment on a post about `topic`, or a reply to the person whose given name is `addressee`."""
    main = random.choice(words.COMMENTS if addressee is None else words.REPLIES)
    sentences = [_fill(random, topic, main, addressee or "")]
    if random.random() < 0.35:
        sentences.append(_fill(random, topic, random.choice(words.ADDITIONS)))
    if random.random() < 0.08:
        sentences.append("\n\n" + _fill(random, topic, random.choice(words.SENTENCES)))
    return " ".join(sentences).replace(" \n", "\n")


def _fill(random: Random, topic: Topic, template: str, name: str = "") -> str:
    things, tools, step = random.choice(topic.things), random.choice(topic.tools), random.choice(topic.steps)
    return template.format(
        subject=topic.subject,
        things=things,
        tools=tools,
        trouble=random.choice(topic.troubles),
        step=step,
        city=random.choice(words.CITIES),
        years=random.choice(("two", "three", "five", "seven", "ten", "twelve")),
        name=name,
        Subject=_capitalized(topic.subject),
        Things=_capitalized(things),
        Tools=_capitalized(tools),
        Step=_capitalized(step),
    )


def _capitalized(text: str) -> str:
    return text[0].upper() + text[1:]
