/**
 * Skein: clusters of TypeScript programs, the way Erlang nodes form them.
 *
 * @example
 * ```ts
 * import { Process, startNode } from "skein"
 * import { tcp } from "skein/transports/tcp"
 *
 * const Counter = Process.define("Counter", {
 *   state: (init?: { start?: number }) => ({ n: init?.start ?? 0 }),
 *   calls: { add: (self, by: number) => (self.state.n += by) },
 * })
 * await using node = await startNode({
 *   transport: tcp({ port: 0 }),
 *   cookie: "a secret",
 *   processes: [Counter],
 * })
 * const counter = await node.start(Counter, "user-42", { start: 10 })
 * await counter.add(2)
 * ```
 *
 * @module
 */

export type { CallOptions, Ref, Try } from "./src/runtime/definition.ts"
export {
  Aborted,
  AlreadyRegistered,
  type CallError,
  ConnectFailed,
  HandlerCrashed,
  InvalidOption,
  NameConflict,
  NodeDown,
  NodeStopped,
  NoMethod,
  NoNode,
  NoProcess,
  NotData,
  type Outcome,
  Overloaded,
  type StartError,
  StartFailed,
  Timeout,
  TooLarge,
  UnknownDefinition,
  Unreachable,
} from "./src/runtime/errors.ts"
export type { NodeEvent } from "./src/runtime/events.ts"
export { startNode } from "./src/runtime/face.ts"
export type { Limits } from "./src/runtime/limits.ts"
export type { Location, Member, Node, RegisterOptions } from "./src/runtime/node.ts"
export type { NodeOptions } from "./src/runtime/options.ts"
export type {
  AnyDefinition,
  Definition,
  Handoff,
  Self,
} from "./src/runtime/process.ts"
export * as Process from "./src/runtime/process.ts"
export type { StartOptions } from "./src/runtime/starts.ts"
export {
  AddressUnavailable,
  type Connection,
  type Listener,
  PeerUnreachable,
  type Transport,
} from "./src/transport.ts"
