import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import type { Input } from "../../src/core/membership.ts"
import * as Membership from "../../src/core/membership.ts"
import type { WorldOfMachines } from "../../src/testing/cores/machine.ts"
import { latency, Members, type Node, seen } from "./scenes.ts"

// What holds at every step of every node (2, 3, 4, 7, 15) is looked at by the scene itself.

describe("any faults", () => {
  test("8. After any faults end, everybody agrees within 15 s on who runs, and it stays so", () => {
    fc.assert(
      fc.property(schedules, (schedule) => {
        const { net, nodes } = play(schedule)
        net.settle(nodes, 15_000)
        const downs = nodes.map((node) => seen(node, "Down"))
        net.run(6_000)
        assert.deepEqual(
          nodes.map((node) => seen(node, "Down")),
          downs,
        )
      }),
      { numRuns: 60 },
    )
  })

  test("8. Also when messages are lost, doubled and overtake each other, as on no real link", () => {
    fc.assert(
      fc.property(schedules, (schedule) => {
        const lossy = { lossPpm: 100_000, doublePpm: 100_000, reorder: true }
        const { net, nodes } = play(schedule, lossy)
        net.settle(nodes, 25_000)
      }),
      { numRuns: 30 },
    )
  })

  test("the same inputs give the same outputs, whatever becomes of the objects", () => {
    fc.assert(
      fc.property(schedules, (schedule) => {
        const logs = new Map<Node, Array<Logged>>()
        play(schedule, {}, (node, input, outputs) => {
          const logged = { now: node.now, input, outputs: JSON.stringify(outputs) }
          const log = logs.get(node)
          if (log === undefined) logs.set(node, [logged])
          else log.push(logged)
        })
        for (const [{ options }, [birth, ...log]] of logs) {
          let step = Membership.init(copy(options), birth?.now ?? Number.NaN)
          assert.equal(JSON.stringify(step.outputs), birth?.outputs)
          for (const { input, outputs } of log) {
            step = Membership.step(step.state, copy(input) as Input)
            assert.equal(JSON.stringify(step.outputs), outputs)
          }
        }
      }),
      { numRuns: 10 },
    )
  })

  test("15. A tick that comes early or twice does nothing", () => {
    fc.assert(
      fc.property(schedules, (schedule) => {
        const { net, nodes } = play(schedule)
        for (let i = 0; i < 40; i++) {
          for (const node of nodes) {
            const wake = Membership.wakeAt(node.state)
            if (wake <= net.now) continue
            for (const now of [net.now, net.now - 5, 0]) {
              const { state, outputs } = Membership.step(node.state, { _tag: "Tick", now })
              assert.deepEqual(outputs, [])
              assert.equal(Membership.wakeAt(state), wake)
            }
          }
          net.run(50)
        }
      }),
      { numRuns: 10 },
    )
  })
})

interface Logged {
  readonly now: number
  readonly input: Input | undefined
  readonly outputs: string
}

// --- schedules -----------------------------------------------------------------------------------

interface Schedule {
  readonly seed: number
  readonly size: number
  readonly latencyMillis: number
  readonly faults: ReadonlyArray<Fault>
}

interface Fault {
  readonly kind: (typeof kinds)[number]
  readonly a: number
  readonly b: number
  readonly millis: number
}

const kinds = [
  ...(["cut", "cut both", "split", "mend", "pause", "resume", "exit", "crash"] as const),
  ...(["reset", "leave", "disconnect", "deafen"] as const),
] as const

const schedules: fc.Arbitrary<Schedule> = fc.record({
  seed: fc.nat(2 ** 31),
  size: fc.integer({ min: 1, max: 9 }),
  latencyMillis: fc.constantFrom(1, 20, 80),
  faults: fc.array(
    fc.record({
      kind: fc.constantFrom(...kinds),
      a: fc.nat(8),
      b: fc.nat(8),
      millis: fc.nat(6_000),
    }),
    { maxLength: 12 },
  ),
})

/** Plays the faults, then ends them all. The nodes are those that run then. */
function play(
  { seed, size, latencyMillis, faults }: Schedule,
  more: WorldOfMachines = {},
  watch?: Parameters<Members["steps"]["add"]>[0],
): { readonly net: Members; readonly nodes: ReadonlyArray<Node> } {
  const net = new Members({ seed, noise: latency(latencyMillis), ...more })
  if (watch !== undefined) net.steps.add(watch)
  const nodes = [...net.together(size)]
  for (const fault of faults) {
    strike(net, nodes, fault)
    net.run(fault.millis)
  }
  net.filter = undefined
  net.mend()
  for (const node of nodes) if (node.paused) net.resume(node)
  // What their users wanted while they stood still comes before what they want now.
  net.run(0)
  for (const node of nodes) {
    const others = nodes.filter((other) => other !== node)
    node.input({ _tag: "Connect", addresses: others.map(({ address }) => address) })
  }
  return { net, nodes }
}

function strike(net: Members, nodes: Array<Node>, { kind, a, b }: Fault): void {
  const [one, other] = [nodes[a % nodes.length] as Node, nodes[b % nodes.length] as Node]
  // What was cut comes by retransmission timers in the end, what was clogged at once.
  const wall = net.chance("wall", 2) === 0 ? "cut" : "clog"
  switch (kind) {
    case "cut":
      return net.cut(one, other, wall)
    case "cut both":
      return net.split([one], [other], wall)
    case "split": {
      const some = nodes.filter(() => net.chance("side", 2) === 0)
      const rest = nodes.filter((node) => !some.includes(node))
      return net.split(some, rest, wall)
    }
    case "mend":
      return net.mend()
    case "pause":
      return one.paused ? undefined : net.pause(one)
    case "resume":
      return one.paused ? net.resume(one) : undefined
    case "exit":
    case "crash":
      net.crash(one, { machine: kind === "crash" })
      return again(net, nodes, one)
    case "reset":
      return net.reset(one, other)
    case "leave":
      if (one.paused) return
      one.input({ _tag: "Leave" })
      net.run(net.chance("draining", 300))
      one.input({ _tag: "Drained" })
      net.run(1_100)
      net.crash(one)
      return again(net, nodes, one)
    case "disconnect":
      return one.input({ _tag: "Disconnect", peer: other.name })
    case "deafen":
      net.filter = (to, _, message) =>
        to !== one || message._tag === "Claims" || message._tag === "Bye"
  }
}

/** A node that is down starts again, now and then with a clock that went back. */
function again(net: Members, nodes: Array<Node>, node: Node): void {
  if (node.paused) net.resume(node)
  net.run(net.chance("gone", 6_000))
  const epoch = net.chance("clock", 5) === 0 ? 1 : node.state.self.epoch + 1
  const next = net.start(node.name, { seeds: nodes.map(({ address }) => address), epoch })
  next.input({ _tag: "Synced" })
  nodes[nodes.indexOf(node)] = next
}

function copy<A>(value: A): A {
  return structuredClone(value)
}
