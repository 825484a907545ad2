import { useGraphiQL, useGraphiQLActions } from "@graphiql/react";
import { useEffect, useRef, useSyncExternalStore } from "react";
import * as session from "./session";

/** Says in the top bar whose token is sent, and forgets it on demand. */
export function SessionBadge() {
  const { session: kept, ended } = useSyncExternalStore(session.subscribe, session.current);
  const hasSchema = useGraphiQL((store) => Boolean(store.schema));
  const { introspect } = useGraphiQLActions();

  // A server whose reads are not public shows its schema only to somebody. GraphiQL asks for it at load by itself.
  const asked = useRef(kept?.token);
  useEffect(() => {
    if (!kept || kept.token === asked.current) return;
    asked.current = kept.token;
    if (!hasSchema) void introspect();
  }, [kept?.token]);

  if (!kept) {
    const message = ended ? "Session ended: run Sign in again" : "Not signed in";
    return <span role="status" className={ended ? "session ended" : "session"}>{message}</span>;
  }
  return (
    <span role="status" className="session signed-in">
      {kept.email ? `Signed in as ${kept.email}` : "Signed in"}
      {" · "}
      <button type="button" onClick={session.signOut} title="Forget the access token of this browser tab">
        Sign out
      </button>
    </span>
  );
}
