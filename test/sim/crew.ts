/**
 * What the tests of groups have in common: who is a member of the crew, and what is told of it.
 *
 * @module
 */
import { Effect } from "effect"
import { type AnyDefinition, type Group, Process, type Ref } from "skein"
import type { Sim, SimNode } from "skein/testing"
import { keyAt } from "./shared.ts"

interface State {
  readonly seen: Array<number>
  slowMillis: number
}
type Self = Process.Self<State>

const calls = {
  work: (self: Self): Effect.Effect<string> =>
    Effect.as(Effect.sleep(self.state.slowMillis), self.key),
  seen: (self: Self): Array<number> => self.state.seen,
  where: (self: Self): string => self.node,
}

const casts = {
  slow: (self: Self, millis: number): void => {
    self.state.slowMillis = millis
  },
  tell: (self: Self, n: number): void => void self.state.seen.push(n),
}

/** It works as slowly as it is told to, and keeps what it is told. */
export const Worker: Process.Definition<"Worker", State, undefined, typeof calls, typeof casts> =
  Process.define("Worker", {
    state: (): State => ({ seen: [], slowMillis: 0 }),
    calls,
    casts,
  })

interface Whereabouts {
  readonly where: (self: Process.Self<object>) => string
}

/** A process that is bound to where it is. */
export const Resident: Process.Definition<"Resident", object, undefined, Whereabouts, object> =
  Process.define("Resident", {
    state: () => ({}),
    calls: { where: (self) => self.node },
    restart: "temporary",
    handoff: { kind: "ignore" },
  })

/** A reference to a worker. */
export type Worker = Ref<typeof Worker>
/** A group of workers with a number each. */
export type Workers = Group<typeof Worker, number>

/** Options of a simulation of three nodes. */
export const three: { readonly nodes: number; readonly processes: ReadonlyArray<AnyDefinition> } = {
  nodes: 3,
  processes: [Worker, Resident],
}

/** So many numbers from 0 on. */
export function seeds(count: number): Array<number> {
  return Array.from({ length: count }, (_, i) => i)
}

/** So many workers, spread over the nodes by the ring, that all nodes know as members. */
export async function crew(sim: Sim, count: number): Promise<ReadonlyArray<Worker>> {
  const [a] = sim.nodes as [SimNode]
  const workers = await Promise.all(seeds(count).map((i) => a.start(Worker, `w${i}`)))
  for (const [i, worker] of workers.entries())
    await (a.group("crew", Worker) as Workers).join(worker, { meta: i })
  await sim.converged()
  return workers
}

/** A worker that the ring places at this node, another one for each number. */
export function at(node: SimNode, n: number): Promise<Worker> {
  return node.start(Worker, keyAt(node, Worker, `${n} `))
}

/** The events of a group at a node, in words. */
export function record(node: SimNode, name: string): Array<string> {
  const log: Array<string> = []
  const words = (online: boolean): string => (online ? "online" : "offline")
  node.group(name).on({
    joined: ({ member }) => log.push(`+ ${member.process} ${words(member.online)}`),
    left: ({ member, reason }) => log.push(`- ${member.process} ${reason}`),
    updated: ({ member, before }) => {
      const [to, from] =
        member.node === before.node ? ["", ""] : [` at ${member.node}`, ` at ${before.node}`]
      log.push(
        `* ${member.process} ${words(member.online)}${to}, was ${words(before.online)}${from}`,
      )
    },
  })
  return log
}
