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
export type { Sent } from "./src/runtime/calls/ref.ts"
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
export type { Asked, Gathered, Missed, Reply } from "./src/runtime/functions/gather.ts"
export * as Remote from "./src/runtime/functions/remote.ts"
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
} from "./src/runtime/groups/group.ts"
export { startNode } from "./src/runtime/launch.ts"
export type { Limits } from "./src/runtime/limits.ts"
export type { ConnectOptions, Listed } from "./src/runtime/links/connections.ts"
export type { NamesOptions, Scalar } from "./src/runtime/names/indexes.ts"
export type { Location } from "./src/runtime/names/location.ts"
export type { Living, Named } from "./src/runtime/names/lookup.ts"
export type { Down, DownReason } from "./src/runtime/names/monitors.ts"
export type { RegisterOptions } from "./src/runtime/names/registrations.ts"
export type { Member, Node, SpawnOptions } from "./src/runtime/node.ts"
export type { NodeOptions, Resolver } from "./src/runtime/options.ts"
export type {
  AnyDefinition,
  Definition,
  Handoff,
  Self,
} from "./src/runtime/process.ts"
export * as Process from "./src/runtime/process.ts"
export type { StartOptions } from "./src/runtime/processes/starts.ts"
export {
  ConnectFailed,
  type ConnectFailure,
  DuplicateAddress,
  InvalidOption,
  NameConflict,
  UnknownNode,
} from "./src/runtime/rejections.ts"
export type { SupervisorRef } from "./src/runtime/supervisors/supervisor.ts"
export * as Supervisor from "./src/runtime/supervisors/supervisor.ts"
export type {
  Messages,
  PublishOptions,
  SubscribeOptions,
  Subscription,
} from "./src/runtime/topics/topic.ts"
export * as Topic from "./src/runtime/topics/topic.ts"
export {
  AddressUnavailable,
  type Connection,
  type Listener,
  PeerUnreachable,
  type Transport,
} from "./src/transport.ts"
