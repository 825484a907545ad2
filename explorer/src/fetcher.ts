import { createGraphiQLFetcher, type Fetcher, type FetcherResult, type Observable } from "@graphiql/toolkit";
import { results } from "./events";
import * as session from "./session";
import { isSubscription, type Operation, operationNames, read } from "./watch";

const page = new URL(import.meta.env.BASE_URL, location.origin);
const endpoint = new URL("..", page);

/**
 * `fetch` for the endpoint, which adds the kept token unless the request has an Authorization of its own,
 * and takes from the answer what it says about the session.
 */
async function fetchWithSession(url: RequestInfo | URL, init: RequestInit = {}): Promise<Response> {
  const { response, type, token } = await fetchWithToken(url, init);
  if (type.startsWith("multipart/mixed")) return response;
  if (!type.includes("json")) throw await unreadable(response);

  const operation = JSON.parse(String(init.body)) as Operation;
  const refused = apply(operation, await response.clone().json().catch(() => null), token);
  // The docs must load even though the kept token has run out. GraphiQL's own second try leaves subscriptions out.
  if (refused && operation.operationName === "IntrospectionQuery") return fetchWithSession(url, init);
  return response;
}

/** The answer with its type, and the kept token if that was sent. */
async function fetchWithToken(url: RequestInfo | URL, init: RequestInit) {
  const headers = new Headers(init.headers);
  const token = headers.has("authorization") ? undefined : session.current().session?.token;
  if (token) headers.set("authorization", `Bearer ${token}`);

  // A redirect could carry the operation, with a password in it, to another origin.
  const response = await fetch(url, { ...init, headers, redirect: "error" }).catch(() => {
    throw plain("The server does not answer. Is it running?");
  });
  return { response, type: response.headers.get("content-type") ?? "", token };
}

const unreadable = async (response: Response): Promise<Error> =>
  plain(`The server answered ${response.status}: ${(await response.text()).slice(0, 500)}`);

/** Tells `observer` of each event of a subscription, until `signal` says that nobody wants to hear more. */
async function listen(operation: Operation, headers: HeadersInit, signal: AbortSignal, observer: Observer): Promise<void> {
  const all = { ...headers, accept: "text/event-stream", "content-type": "application/json" };
  const init: RequestInit = { method: "POST", headers: all, body: JSON.stringify(operation), signal };
  const { response, type, token } = await fetchWithToken(endpoint.href, init);
  if (!type.startsWith("text/event-stream")) throw await unreadable(response);
  for await (const result of results(response)) {
    apply(operation, result, token);
    observer.next(result as FetcherResult);
  }
  observer.complete();
}

type Observer = { next: (result: FetcherResult) => void; error: (error: Error) => void; complete: () => void };

/** A subscription as GraphiQL takes it, whose stop button unsubscribes. */
const subscription = (operation: Operation, headers: HeadersInit) => ({
  subscribe(observer: Observer) {
    const stop = new AbortController();
    listen(operation, headers, stop.signal, observer).catch((error: Error) => {
      if (!stop.signal.aborted) observer.error(plain(error.message));
    });
    return { unsubscribe: () => stop.abort() };
  },
});

/** Changes the session as `answer` says; true when the server refused `token`, the kept one that was sent. */
function apply(operation: Operation, answer: unknown, token: string | undefined): boolean {
  let refused = false;
  for (const event of read(operation, answer)) {
    if (event.kind === "signedIn") {
      const email = event.email ?? (event.keepsUser ? session.current().session?.email : undefined);
      session.signIn({ token: event.token, email });
    } else if (event.kind === "signedOut") {
      session.signOut();
    } else if (token) {
      session.end(token);
      refused = true;
    }
  }
  return refused;
}

/** An error without the stack, which GraphiQL would print into the answer. */
function plain(message: string): Error {
  const error = new Error(message);
  delete error.stack;
  return error;
}

const send = createGraphiQLFetcher({ url: endpoint.href, fetch: fetchWithSession });

/** What GraphiQL calls. Its operation name lags 0.1 s behind the editor: a name that is not there is mended. */
export const fetcher: Fetcher = (params, options) => {
  const names = operationNames(params.query);
  const known = !params.operationName || names.includes(params.operationName);
  const operation = known ? params : { ...params, operationName: names[0] };
  if (isSubscription(operation)) return subscription(operation, options?.headers ?? {}) as Observable<FetcherResult>;
  return send(operation, options);
};
