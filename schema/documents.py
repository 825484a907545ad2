"""Documents that are asked for again and again are parsed once, and so keep their plan."""

from collections.abc import Iterator

from strawberry.extensions import ParserCache

# Longer ones are rare, and would fill the memory: a parsed document takes some hundred times the room of its text.
MAX_CACHED_CHARACTERS = 10_000
MAX_CACHED_DOCUMENTS = 100


class DocumentCache(ParserCache):
    """The last 100 documents of at most 10,000 characters, parsed. Nothing of a request is kept with them."""

    def __init__(self) -> None:
        super().__init__(maxsize=MAX_CACHED_DOCUMENTS)

    def on_parse(self) -> Iterator[None]:
        if len(self.execution_context.query or "") > MAX_CACHED_CHARACTERS:
            yield
        else:
            yield from super().on_parse()
