/** Reads server-sent events: the "distinct connections mode" of https://github.com/enisdenjo/graphql-sse. */

/** The results in `response`, each as it comes. Fails when the server has not said that it is complete. */
export async function* results(response: Response): AsyncGenerator<unknown> {
  let text = "";
  const decoder = new TextDecoder();
  const reader = response.body!.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) throw new Error("The server has ended the stream. Run it again.");
    text += decoder.decode(value, { stream: true });
    const events = text.split("\n\n");
    // The last one has not come as a whole.
    text = events.pop()!;
    for (const event of events.map(parsed)) {
      if (event.name === "complete") return;
      if (event.name === "next") yield JSON.parse(event.data);
    }
  }
}

/** A comment, with which the server says that it is there, has no name. */
function parsed(event: string): { name: string; data: string } {
  const field = (name: string): string =>
    event.split("\n").find((line) => line.startsWith(`${name}:`))?.slice(name.length + 1).trim() ?? "";
  return { name: field("event"), data: field("data") };
}
