/** Random histories of a cluster: what happens to it, then peace, then what must hold. */
import assert from "node:assert/strict"
import fc from "fast-check"
import * as Invariants from "../../src/core/invariants.ts"
import * as Registry from "../../src/core/registry.ts"
import { type Core, Cores, type CoresOptions } from "../../src/testing/cores/cores.ts"
import { latency } from "./scenes.ts"

/** One thing that happens, `a` and `b` choosing to whom, and how long it stays the last. */
export type Action = readonly [what: What, a: number, b: number, millis: number]

type What =
  | "start"
  | "bump"
  | "join"
  | "exit"
  | "crash"
  | "restart"
  | "leave"
  | "reset"
  | "pause"
  | "resume"
  | "cut"
  | "deafen"
  | "split"
  | "mend"

/** What doesn't make anybody believe what isn't so: no stalls, no partitions. */
export const plain: ReadonlyArray<What> = ["start", "join", "exit", "restart", "leave", "reset"]
/** Everything. */
export const harsh: ReadonlyArray<What> = [
  ...plain,
  "crash",
  "pause",
  "resume",
  "cut",
  "deafen",
  "split",
  "mend",
]

export const NAMES: ReadonlyArray<string> = Array.from({ length: 12 }, (_, i) => `count/${i}`)

/** Histories of so many actions out of these, with pauses that make them overlap or not. */
export function actions(kinds: ReadonlyArray<What>, max: number): fc.Arbitrary<Array<Action>> {
  const millis = fc.oneof(fc.nat({ max: 5 }), fc.nat({ max: 300 }), fc.nat({ max: 6_000 }))
  const chooser = fc.nat({ max: 99 })
  const action = fc.tuple(fc.constantFrom(...kinds), chooser, chooser, millis)
  return fc.array(action, { minLength: 1, maxLength: max, size: "max" })
}

export interface Outcome {
  readonly network: Cores
  /** The nodes that are there in the end. */
  readonly nodes: ReadonlyArray<Core>
  /** Names that were started, as somebody has heard. */
  readonly asked: ReadonlyArray<string>
}

/** Cores whose frames take from half to one and a half milliseconds, one way. */
export function cores(options: CoresOptions): Cores {
  return new Cores({ noise: latency(1), ...options })
}

/** The names of so many nodes. */
export function names(size: number): ReadonlyArray<string> {
  return Array.from({ length: size }, (_, i) => `n${i}`)
}

/** Runs a history, then mends everything and waits for calm. */
export function play(size: number, options: CoresOptions, list: ReadonlyArray<Action>): Outcome {
  const network = cores(options)
  network.formed(names(size))
  for (const action of list) {
    act(network, action)
    network.run(action[3])
  }
  network.mend()
  for (const node of network.running) awaken(network, node)
  network.run(1)
  const leaving = (): boolean =>
    network.running.some(({ state }) => state.supervision.leaveBy !== Number.POSITIVE_INFINITY)
  network.until("all leavers are gone", () => !leaving(), 60_000)
  if (network.running.length === 0) network.start("phoenix", { seeds: [] })
  const nodes = network.running
  const wanted = (): boolean => nodes.some(({ shell }) => shell.wanted.size > 0)
  network.until("calm again", () => network.unrest(nodes) ?? !wanted(), 60_000)
  const more = (): boolean =>
    nodes.some(({ state }) => state.supervision.retryAt !== Number.POSITIVE_INFINITY)
  network.until("nothing is left to be tried again", () => network.unrest(nodes) ?? !more(), 60_000)
  return { network, nodes, asked: [...network.known] }
}

function act(network: Cores, [what, a, b]: Action): void {
  const { running } = network
  const node = running[a % running.length]
  const other = running[b % running.length]
  if (node === undefined || other === undefined) return
  // What was cut comes by retransmission timers in the end, what was clogged at once.
  const kind = (a + b) % 2 === 0 ? "cut" : "clog"
  switch (what) {
    case "start": {
      const name = NAMES[b % NAMES.length] as string
      if (node.ready) node.shell.want(name)
      return
    }
    case "bump":
      return network.bump(NAMES[b % NAMES.length] as string)
    case "join":
      if (running.length < 9) network.start(`m${network.nodes.length}`, { seeds: seeds(network) })
      return
    case "restart": {
      const down = network.nodes.filter(
        ({ name, left }) => !left && !running.some((one) => one.name === name),
      )
      const again = down[a % Math.max(1, down.length)]
      if (again === undefined) return
      awaken(network, again)
      network.start(again.name, { seeds: seeds(network) })
      return
    }
    case "exit":
    case "crash":
      if (spare(network, node)) network.crash(node, { machine: what === "crash" })
      return
    case "leave":
      if (spare(network, node)) network.leave(node)
      return
    case "reset":
      return network.reset(node, other)
    case "pause":
      if (!node.paused && spare(network, node)) network.pause(node)
      return
    case "resume":
      return awaken(network, node)
    case "cut":
      return network.split([node], [other], kind)
    case "deafen":
      return network.cut(node, other, kind)
    case "split":
      return network.split(
        running.filter((_, i) => i % 2 === a % 2),
        running.filter((_, i) => i % 2 !== a % 2),
        kind,
      )
    case "mend":
      return network.mend()
  }
}

function awaken(network: Cores, node: Core): void {
  if (node.paused) network.resume(node)
}

/** Somebody else is there who knows of every server: nobody takes over what nobody knows. */
function spare(network: Cores, node: Core): boolean {
  const knows = ({ state }: Core): boolean =>
    [...network.known].every((name) => {
      const { registry } = state
      const entry = Registry.lookup(registry, name) ?? Registry.hidden(registry, name)
      return (entry?.generation ?? 0) >= (network.served.get(name)?.generation ?? 0)
    })
  return network.full.some((other) => other !== node && knows(other))
}

function seeds(network: Cores): ReadonlyArray<string> {
  return [...new Set(network.nodes.map(({ name }) => name))]
}

/** 26, 31, 35: every name that was started has exactly one server, and nobody believes otherwise. */
export function served({ network, nodes, asked }: Outcome): void {
  const registries = nodes.map(({ state }) => state.registry)
  assert.equal(Invariants.unanimous(registries), undefined, `${network}`)
  for (const name of asked) {
    const servers = network.servers(name)
    assert.equal(servers.length, 1, `${name} has ${servers.length} servers\n${network}`)
    const holder = registries[0]?.index.get(name)?.table.owner
    assert.equal(holder, servers[0]?.name, `${name}\n${network}`)
  }
}

/** 42: every name is where the ring says, and so is the right to start it. */
export function placed({ network, nodes }: Outcome): void {
  for (const { state } of nodes) {
    const { rings, passive } = state.supervision
    const wrong = Invariants.placed(state.registry, rings, passive)
    assert.equal(wrong, undefined, `${network}`)
  }
}
