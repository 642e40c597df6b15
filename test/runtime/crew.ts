/**
 * What the tests of groups have in common: workers, and groups of which they are members.
 *
 * @module
 */
import { type AnyDefinition, type Group, type Node, Process, type Ref } from "../../mod.ts"

type Self = Process.Self<{ n: number }>

const calls = {
  add: (self: Self, by: number): number => {
    self.state.n += by
    return self.state.n
  },
  get: (self: Self): number => self.state.n,
  where: (self: Self): string => self.node,
  who: (self: Self): string => self.key,
  crash: (): void => {
    throw new Error("on purpose")
  },
  hang: (): Promise<void> => new Promise<void>(() => {}),
  join: (self: Self, group: string, online?: boolean): void =>
    self.join(group, online === undefined ? {} : { online, meta: "mine" }),
  leave: (self: Self, group: string): boolean => self.leave(group),
  end: (self: Self): void => self.stop("done"),
}

const casts = {
  reset: (self: Self): void => {
    self.state.n = 0
  },
  set: (self: Self, n: number): void => {
    self.state.n = n
  },
}

/** A number, and all that a member can do and have done to it. */
export const Worker: Process.Definition<
  "Worker",
  { n: number },
  { n?: number } | undefined,
  typeof calls,
  typeof casts
> = Process.define("Worker", { state: (init) => ({ n: init?.n ?? 0 }), calls, casts })

const others = { get: (): string => "other", own: (): string => "mine" }

/** It has one method that a worker has as well, and one that it hasn't. */
export const Other: Process.Definition<
  "Other",
  { secret: number },
  undefined,
  typeof others,
  object
> = Process.define("Other", { state: () => ({ secret: 1 }), calls: others })

/** Both. */
export const definitions: ReadonlyArray<AnyDefinition> = [Worker, Other]

/** A reference to a worker. */
export type Worker = Ref<typeof Worker>
/** A group of workers with their load. */
export type Workers = Group<typeof Worker, { load: number }>
/** Nodes of a cluster of three. */
export type Three = readonly [Node, Node, Node]

/** One worker of each node, all of them members that every node knows. */
export async function crew(
  nodes: ReadonlyArray<Node>,
  name = "crew",
): Promise<ReadonlyArray<Worker>> {
  const workers: Array<Worker> = []
  for (const [i, node] of nodes.entries()) {
    const worker = await at(node, Worker, i)
    await nodes[0]?.group(name, Worker).join(worker, { meta: { load: i } })
    workers.push(worker)
  }
  for (const node of nodes) {
    const group = node.group(name, Worker)
    await known(group, () => group.count === nodes.length)
  }
  return workers
}

/** A process that the ring places on this node, another one for each number. */
export function at<P extends typeof Worker | typeof Other>(
  node: Node,
  type: P,
  i = 0,
): Promise<Ref<P>> {
  const keys = Array.from({ length: 999 }, (_, j) => `w${i} ${j}`)
  const key = keys.find((each) => node.nodeFor(type, each) === node.name) as string
  return node.start(type as typeof Worker, key) as unknown as Promise<Ref<P>>
}

/** Waits until `met` holds, looking again after each event of the group. */
export async function known(
  group: Pick<Group<never>, "events">,
  met: () => boolean,
): Promise<void> {
  const events = group.events()
  while (!met()) await events.next()
  await events.return?.()
}

/** The reasons of the next so many who leave. */
export async function left(group: Group<typeof Worker>, count: number): Promise<Array<string>> {
  const reasons: Array<string> = []
  for await (const one of group.events()) {
    if (one._tag === "Left") reasons.push(one.reason)
    if (reasons.length === count) break
  }
  return reasons
}

/** The error's tag or name, "none" if there is no error. */
export function tagOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "none",
    (error) => error._tag ?? error.name,
  )
}
