import assert from "node:assert/strict"
import { describe, test } from "node:test"
import type * as Cluster from "../../src/core/cluster.ts"
import * as Ring from "../../src/core/ring.ts"
import type { Core, Cores, Data } from "../../src/testing/cores/cores.ts"
import type { Letter } from "../../src/testing/cores/machine.ts"
import * as Schedule from "./schedule.ts"

/** A planned move of one name, from its first frame on. */
interface Move {
  readonly network: Cores
  readonly name: string
  readonly from: Core
  readonly to: Core
  /** Frames of the move that have arrived. */
  readonly frames: Array<string>
}

/** What becomes of the frame instead of whose arrival it happens. */
type Fate = "lost" | "late" | "passes"

type Fault = (move: Move) => Fate

const COUNT = 7
/** How long a cut lasts. */
const CUT_MILLIS = 300
/** In the order in which they are sent; `Ops` are the old owner's, and then the new one's. */
const STEPS = ["Offer", "Accept", "State", "Installed", "Ops", "Commit", "Drained", "Ops", "Done"]

const faults: Readonly<Record<string, Fault>> = {
  "the old owner's process ends": ({ network, from }) => crash(network, from, false),
  "the old owner's host is gone": ({ network, from }) => crash(network, from, true),
  "the new owner's process ends": ({ network, to }) => crash(network, to, false),
  "the new owner's host is gone": ({ network, to }) => crash(network, to, true),
  "the link is lost": ({ network, from, to }) => {
    network.reset(from, to)
    return "lost"
  },
  "the link is lost, and those after it as well": ({ network, from, to }) => {
    for (let millis = 1; millis < 20; millis++) network.after(millis, () => network.reset(from, to))
    network.reset(from, to)
    return "lost"
  },
  "the link is cut for a moment": ({ network, from, to }) => {
    network.split([from], [to], "clog")
    return "late"
  },
}

function crash(network: Cores, node: Core, machine: boolean): Fate {
  network.crash(node, { machine })
  return "lost"
}

/**
 * Moves a name from a cluster of so many nodes to one that joins. The fault happens instead of the
 * arrival of frame number `at`: all before it have arrived.
 */
function move(size: number, seed: number, at: number, fault: Fault): Move {
  const network = Schedule.cores({ seed, lax: true })
  const nodes = network.formed(Schedule.names(size))
  const names = Array.from({ length: 200 }, (_, i) => `count/${i}`)
  const ring = Ring.make([...nodes, { name: "t" }].map(({ name: id }) => ({ id, weight: 1 })))
  const name = names.find((one) => Ring.owner(ring, one) === "t") as string
  nodes[0]?.shell.want(name)
  network.until("started", () => network.servers(name).length === 1, 1_000)
  for (let i = 0; i < COUNT; i++) network.bump(name)
  const from = network.servers(name)[0] as Core
  const to = network.start("t", { seeds: ["n0"] })
  const moving: Move = { network, name, from, to, frames: [] }
  network.filter = (node, sender, letter) => {
    // Frames that a link loses are its last ones.
    if (!network.running.some((other) => other.name === sender)) return false
    const between = [node.name, sender].sort().join() === [from.name, to.name].sort().join()
    const begun = moving.frames.length > 0 || letter._tag === "Offer"
    if (!between || !begun || !concerns(letter, name)) return true
    moving.frames.push(letter._tag)
    if (moving.frames.length !== at + 1) return true
    const fate = fault(moving)
    if (fate === "late") hold(network, node, sender, letter)
    return fate === "passes"
  }
  network.run(700)
  network.until("calm", () => network.unrest(), 40_000)
  network.run(3_000)
  network.until("calm again", () => network.unrest(), 10_000)
  return moving
}

/** This one comes at the end of the cut, and so does in their order what would have come behind it. */
function hold(network: Cores, node: Core, sender: string, letter: Letter): void {
  const { filter } = network
  const link = node.links.get(sender)
  const held = [letter]
  network.filter = (to, from, later) => {
    if (to !== node || from !== sender) return filter?.(to, from, later) ?? true
    held.push(later)
    return false
  }
  network.after(CUT_MILLIS, () => {
    network.filter = filter
    network.mend()
    if (node.links.get(sender) !== link) return
    for (const one of held.splice(0)) network.receive(node, sender, one)
  })
}

function concerns(letter: Letter, name: string): boolean {
  const frame = letter as Cluster.Message | Data
  const slot = Ring.slot(name)
  if (frame._tag === "Ops") return frame.ops.some((op) => "slot" in op && op.slot === slot)
  return "slot" in frame && frame.slot === slot
}

describe("a planned move", () => {
  test("33. takes the state along, in these steps", () => {
    const { network, name, to, frames } = move(2, 1, -1, () => "passes")
    assert.deepEqual(frames, STEPS)
    assert.deepEqual(network.servers(name), [to])
    assert.equal(to.shell.processes.get(name)?.counter, COUNT)
  })

  for (const [what, fault] of Object.entries(faults)) {
    test(`34. exactly one node serves the name when ${what}, at whatever step`, () => {
      for (const size of [1, 2, 3]) {
        for (let at = 0; at < STEPS.length; at++) {
          const { network, name, frames } = move(size, at, at, fault)
          assert.equal(frames[at], STEPS[at])
          const servers = network.servers(name)
          const where = `instead of ${STEPS[at]} (${at}) of ${size}\n${network}`
          assert.equal(servers.length, 1, `${servers.map((one) => one.name)} ${where}`)
          const counter = servers[0]?.shell.processes.get(name)?.counter
          if (!(lossy(what, size, at) && counter === 0))
            assert.equal(counter, COUNT, `the state is lost ${where}`)
        }
      }
    })
  }
})

/** Whether the state may be gone: it died with the only node that had it, or with who served it. */
function lossy(what: string, size: number, at: number): boolean {
  const done = (tag: string): boolean => at > STEPS.indexOf(tag)
  if (what.startsWith("the new owner")) return done("Commit")
  if (!what.startsWith("the old owner")) return false
  // Without somebody else the new owner is the heir, and has what it was sent.
  return size === 1 ? !done("State") : !done("Ops")
}
