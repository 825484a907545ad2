/** The access token of this browser tab: where it is kept, and who is told when it changes. */

const STORAGE_KEY = "broadside:session";

export interface Session {
  token: string;
  email?: string;
}

export type State = { session: Session | null; ended: boolean };

const listeners = new Set<() => void>();
let state: State = { session: restore(), ended: false };

function restore(): Session | null {
  try {
    const kept = JSON.parse(sessionStorage.getItem(STORAGE_KEY) ?? "null") as Session | null;
    return typeof kept?.token === "string" ? kept : null;
  } catch {
    return null;
  }
}

function change(next: State): void {
  state = next;
  try {
    if (next.session) sessionStorage.setItem(STORAGE_KEY, JSON.stringify(next.session));
    else sessionStorage.removeItem(STORAGE_KEY);
  } catch {
    // Storage is blocked: the session lasts until the page is left.
  }
  listeners.forEach((listener) => listener());
}

export const current = (): State => state;

export function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export const signIn = (session: Session): void => change({ session, ended: false });

export const signOut = (): void => change({ session: null, ended: false });

/** The server no longer takes `token`. A late answer to an older token must not end a newer session. */
export function end(token: string): void {
  if (state.session?.token === token) change({ session: null, ended: true });
}
