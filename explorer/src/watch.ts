/** Reads what an answer says about the session: a new token, a sign-out, or a token that is no longer taken. */

import {
  type DocumentNode,
  type FieldNode,
  type FragmentDefinitionNode,
  Kind,
  type OperationDefinitionNode,
  parse,
  type SelectionSetNode,
} from "graphql";

type Json = Record<string, unknown>;

export interface Operation {
  query: string;
  operationName?: string | null;
  variables?: unknown;
}

export type Event =
  | { kind: "signedIn"; token: string; email?: string; keepsUser: boolean }
  | { kind: "signedOut" }
  | { kind: "refused" };

const GIVES_TOKEN = new Set(["login", "refreshToken", "changePassword"]);
const ENDS_SESSION = new Set(["logout", "deleteAccount"]);

/** The events that `answer` tells, in the order of the fields of `operation`; aliases and fragments are followed. */
export function read(operation: Operation, answer: unknown): Event[] {
  if (!isObject(answer)) return [];
  if (hasCode(answer.errors, "UNAUTHENTICATED")) return [{ kind: "refused" }];
  if (!isObject(answer.data)) return [];

  const document = parsed(operation.query);
  const definition = document && chosen(document, operation.operationName);
  if (!document || definition?.operation !== "mutation") return [];

  const data = answer.data;
  const fragments = fragmentsOf(document);
  return fields(definition.selectionSet, fragments).flatMap((field): Event[] => {
    const payload = data[keyOf(field)];
    if (!isObject(payload) || !field.selectionSet) return [];
    const name = field.name.value;
    const value = (path: string[]): unknown => valueAt(payload, field.selectionSet, path, fragments);

    if (hasCode(value(["errors"]), "UNAUTHENTICATED")) return [{ kind: "refused" }];
    if (ENDS_SESSION.has(name)) return succeeded(value) ? [{ kind: "signedOut" }] : [];
    const token = GIVES_TOKEN.has(name) ? value(["accessToken"]) : null;
    if (typeof token !== "string" || token === "") return [];
    const email = text(value(["user", "email"])) ?? (name === "login" ? emailIn(field, operation.variables) : undefined);
    return [{ kind: "signedIn", token, email, keepsUser: name !== "login" }];
  });
}

/** The names of the operations in `query`; none when it cannot be parsed. */
export const operationNames = (query: string): string[] =>
  operationsOf(parsed(query)).flatMap((node) => node.name?.value ?? []);

/** Whether the operation that would run is a subscription. */
export function isSubscription(operation: Operation): boolean {
  const document = parsed(operation.query);
  return document !== null && chosen(document, operation.operationName)?.operation === "subscription";
}

function succeeded(value: (path: string[]) => unknown): boolean {
  const errors = value(["errors"]);
  return value(["success"]) !== false && !(Array.isArray(errors) && errors.length > 0);
}

function hasCode(errors: unknown, code: string): boolean {
  if (!Array.isArray(errors)) return false;
  return errors.some((error) => isObject(error) && (error.code === code || (isObject(error.extensions) && error.extensions.code === code)));
}

/** The address that a login was called with: `input: { email: ... }` as a literal, or behind a variable. */
function emailIn(login: FieldNode, variables: unknown): string | undefined {
  const given = isObject(variables) ? variables : {};
  const input = login.arguments?.find((argument) => argument.name.value === "input")?.value;
  if (input?.kind === Kind.VARIABLE) {
    const value = given[input.name.value];
    return isObject(value) ? text(value.email) : undefined;
  }
  if (input?.kind !== Kind.OBJECT) return undefined;
  const email = input.fields.find((field) => field.name.value === "email")?.value;
  if (email?.kind === Kind.STRING) return text(email.value);
  return email?.kind === Kind.VARIABLE ? text(given[email.name.value]) : undefined;
}

type Fragments = Map<string, FragmentDefinitionNode>;

/** The fields of a selection, with those of its fragments in place. */
function fields(selection: SelectionSetNode, fragments: Fragments): FieldNode[] {
  return selection.selections.flatMap((node) => {
    if (node.kind === Kind.FIELD) return [node];
    const inner = node.kind === Kind.INLINE_FRAGMENT ? node : fragments.get(node.name.value);
    return inner ? fields(inner.selectionSet, fragments) : [];
  });
}

function valueAt(object: unknown, selection: SelectionSetNode | undefined, path: string[], fragments: Fragments): unknown {
  const [name, ...rest] = path;
  if (name === undefined) return object;
  const field = selection && fields(selection, fragments).find((candidate) => candidate.name.value === name);
  if (!field || !isObject(object)) return undefined;
  return valueAt(object[keyOf(field)], field.selectionSet, rest, fragments);
}

function parsed(query: string): DocumentNode | null {
  try {
    return parse(query);
  } catch {
    return null;
  }
}

const operationsOf = (document: DocumentNode | null): OperationDefinitionNode[] =>
  document?.definitions.filter((node) => node.kind === Kind.OPERATION_DEFINITION) ?? [];

function chosen(document: DocumentNode, name: string | null | undefined): OperationDefinitionNode | undefined {
  return operationsOf(document).find((node) => !name || node.name?.value === name);
}

function fragmentsOf(document: DocumentNode): Fragments {
  const nodes = document.definitions.filter((node) => node.kind === Kind.FRAGMENT_DEFINITION);
  return new Map(nodes.map((node) => [node.name.value, node]));
}

const keyOf = (field: FieldNode): string => (field.alias ?? field.name).value;
const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value);
const text = (value: unknown): string | undefined => (typeof value === "string" && value !== "" ? value : undefined);
