import "./workers";
import { useGraphiQL } from "@graphiql/react";
import { createLocalStorage } from "@graphiql/toolkit";
import { GraphiQL } from "graphiql";
import { useEffect, useState } from "react";
import { createPortal } from "react-dom";
import { createRoot } from "react-dom/client";
import { fetcher } from "./fetcher";
import { SessionBadge } from "./SessionBadge";
import { tabs } from "./tabs";
import "@graphiql/react/font/roboto.css";
import "@graphiql/react/font/fira-code.css";
import "@graphiql/react/style.css";
import "@graphiql/plugin-doc-explorer/style.css";
import "@graphiql/plugin-history/style.css";
import "graphiql/graphiql.css";
import "./explorer.css";

// Other projects' explorers on the same localhost port must not leave their tabs here.
const storage = createLocalStorage({ namespace: "broadside" });
// GraphiQL takes the first tab's contents from here, and would open it without its variables.
if (storage.getItem("graphiql:tabState") === null) {
  storage.setItem("graphiql:query", tabs[0].query);
  storage.setItem("graphiql:variables", tabs[0].variables);
}

const container = document.getElementById("explorer")!;
container.inert = true;

/**
 * Before its editors are mounted, GraphiQL sends nothing when told to run, and shows no other tab's operation. When
 * they cannot be loaded, as after a rebuild that took away the files this page names, it says nothing of it.
 */
function UsableOnceMounted() {
  const mounted = useGraphiQL((store) =>
    Boolean(store.queryEditor && store.variableEditor && store.headerEditor && store.responseEditor),
  );
  useEffect(() => {
    container.inert = !mounted;
  }, [mounted]);

  const [failed, setFailed] = useState(false);
  useEffect(() => {
    const fail = () => setFailed(true);
    window.addEventListener("vite:preloadError", fail);
    return () => window.removeEventListener("vite:preloadError", fail);
  }, []);
  // A chunk that the editors can do without fires the same event.
  if (mounted || !failed) return null;
  return createPortal(
    <div role="alert" className="failed">
      The editors could not be loaded.{" "}
      <button type="button" onClick={() => location.reload()}>
        Reload the page
      </button>
    </div>,
    document.body,
  );
}

createRoot(container).render(
  <GraphiQL
    fetcher={fetcher}
    storage={storage}
    defaultTabs={[...tabs]}
    defaultEditorToolsVisibility
    shouldPersistHeaders
  >
    <GraphiQL.Logo>
      <SessionBadge />
      <span className="product">Broadside</span>
    </GraphiQL.Logo>
    <UsableOnceMounted />
  </GraphiQL>,
);
