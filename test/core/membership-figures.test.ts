import assert from "node:assert/strict"
import { describe, test } from "node:test"
import type { Timing } from "../../src/core/membership.ts"
import * as Membership from "../../src/core/membership.ts"
import { latency, Members, type Node, seenAt } from "./scenes.ts"

// Virtual time: these figures are exact, and the same on every machine.

describe("detection", () => {
  test("a silent crash is noticed by all of nine after 4.1 s at p50 and 4.5 s at p99", () => {
    const { p50, p99 } = measure({ size: 9, runs: 200, fault: "pause" })
    assert.ok(p50 <= 4_150 && p99 <= 4_500, `${p50} ${p99}`)
  })

  test("by both of three after 4.4 s at p50 and 5.0 s at p99, by the other of two after 4.6 s and 5.1 s", () => {
    const three = measure({ size: 3, runs: 200, fault: "crash" })
    assert.ok(three.p50 <= 4_400 && three.p99 <= 5_000, `${three.p50} ${three.p99}`)
    const two = measure({ size: 2, runs: 200, fault: "crash" })
    assert.ok(two.p50 <= 4_600 && two.p99 <= 5_100, `${two.p50} ${two.p99}`)
  })

  test("an exit that closes the sockets is noticed within 0.3 s, by a single observer within 0.55 s", () => {
    const nine = measure({ size: 9, runs: 25, fault: "exit" })
    assert.ok(nine.p99 <= 300, `${nine.p99}`)
    const two = measure({ size: 2, runs: 50, fault: "exit" })
    assert.ok(two.p99 <= 550, `${two.p99}`)
  })

  test("two that crash together are noticed as fast as one", () => {
    const { p99 } = measure({ size: 9, runs: 25, fault: "crash", victims: 2 })
    assert.ok(p99 <= 4_600, `${p99}`)
  })

  test("half of the cluster that crashes at once is noticed by the other half within 5 s", () => {
    const { p99 } = measure({ size: 8, runs: 30, fault: "crash", victims: 4 })
    assert.ok(p99 <= 5_000, `${p99}`)
  })

  test("the other profiles scale: 1.1 s on one machine, 10.3 s far apart", () => {
    const local = measure({ size: 5, runs: 30, fault: "crash", timing: Membership.local })
    assert.ok(local.p50 <= 1_100 && local.p99 <= 1_300, `${local.p50} ${local.p99}`)
    const { wan } = Membership
    const far = measure({ size: 5, runs: 30, fault: "crash", timing: wan, latencyMillis: 75 })
    assert.ok(far.p50 <= 10_800 && far.p99 <= 11_500, `${far.p50} ${far.p99}`)
  })
})

interface Measured {
  readonly p50: number
  readonly p99: number
}

/** From the fault until the last of the survivors shows the last of the victims down. */
function measure(of: {
  readonly size: number
  readonly runs: number
  readonly fault: "pause" | "crash" | "exit"
  readonly victims?: number
  readonly timing?: Timing
  readonly latencyMillis?: number
}): Measured {
  const { size, runs, fault, victims = 1, timing = Membership.lan, latencyMillis = 1 } = of
  const times: Array<number> = []
  for (let seed = 1; seed <= runs; seed++) {
    const net = new Members({ seed, timing, noise: latency(latencyMillis) })
    const nodes = net.together(size)
    net.settle(nodes, 2_000)
    net.run(timing.probeMillis + net.chance("phase", timing.probeMillis))
    const gone = nodes.slice(0, victims)
    const rest = nodes.slice(victims)
    const start = net.now
    for (const node of gone) {
      if (fault === "pause") net.pause(node)
      else net.crash(node, { machine: fault === "crash" })
    }
    net.until("all notice", () => notices(rest, gone), 20_000)
    const last = rest.flatMap((node) => gone.map(({ name }) => seenAt(node, "Down", name) ?? 0))
    times.push(Math.max(...last) - start)
  }
  times.sort((a, b) => a - b)
  const at = (share: number): number => times[Math.ceil(runs * share) - 1] as number
  return { p50: at(0.5), p99: at(0.99) }
}

function notices(rest: ReadonlyArray<Node>, gone: ReadonlyArray<Node>): boolean {
  return rest.every((node) => gone.every(({ name }) => seenAt(node, "Down", name) !== undefined))
}
