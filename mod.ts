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

export * as Key from "./src/core/key.ts"
export type { Context as DiscoveryContext, Discovery } from "./src/discovery/discovery.ts"
export { seeds } from "./src/discovery/static.ts"
export type { ConnectOptions, Listed } from "./src/runtime/connections.ts"
export type { CallOptions, Joining, Ref, Try } from "./src/runtime/definition.ts"
export {
  Aborted,
  AlreadyMember,
  AlreadyRegistered,
  type CallError,
  Contended,
  HandlerCrashed,
  NodeDown,
  NodeStopped,
  NoMember,
  NoMethod,
  NoNode,
  NoProcess,
  NoQuorum,
  NoService,
  NotData,
  NotMember,
  type Outcome,
  Overloaded,
  type StartError,
  StartFailed,
  StartIgnored,
  SubscriberOverloaded,
  Timeout,
  TooLarge,
  UnknownDefinition,
  Unreachable,
} from "./src/runtime/errors.ts"
export type { EventOf, Listeners, NodeEvent } from "./src/runtime/events.ts"
export type { Asked, Gathered, Missed, Reply } from "./src/runtime/gather.ts"
export type {
  Answer,
  Answers,
  Group,
  GroupEvent,
  GroupHandlers,
  GroupMember,
  GroupStanding,
  MembershipError,
  Picked,
  Several,
  Silence,
} from "./src/runtime/group.ts"
export type { NamesOptions, Scalar } from "./src/runtime/indexes.ts"
export { startNode } from "./src/runtime/launch.ts"
export type { Limits } from "./src/runtime/limits.ts"
export type { Location } from "./src/runtime/location.ts"
export type { Living, Named } from "./src/runtime/lookup.ts"
export type { Down, DownReason } from "./src/runtime/monitors.ts"
export type { Member, Node, SpawnOptions } from "./src/runtime/node.ts"
export type { NodeOptions, Resolver } from "./src/runtime/options.ts"
export type {
  AnyDefinition,
  Definition,
  Handoff,
  Self,
} from "./src/runtime/process.ts"
export * as Process from "./src/runtime/process.ts"
export type { Sent } from "./src/runtime/ref.ts"
export type { RegisterOptions } from "./src/runtime/registrations.ts"
export {
  ConnectFailed,
  type ConnectFailure,
  DuplicateAddress,
  InvalidOption,
  NameConflict,
  UnknownNode,
} from "./src/runtime/rejections.ts"
export * as Remote from "./src/runtime/remote.ts"
export type { StartOptions } from "./src/runtime/starts.ts"
export type { SupervisorRef } from "./src/runtime/supervisor.ts"
export * as Supervisor from "./src/runtime/supervisor.ts"
export type {
  Messages,
  PublishOptions,
  SubscribeOptions,
  Subscription,
} from "./src/runtime/topic.ts"
export * as Topic from "./src/runtime/topic.ts"
export {
  AddressUnavailable,
  type Connection,
  type Listener,
  PeerUnreachable,
  type Transport,
} from "./src/transport.ts"
