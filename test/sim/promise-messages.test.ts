/** What the README promises of messages: at most once, in order, and none lost by a planned move. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { type Sim, type SimNode, simulate } from "skein/testing"
import { SEEDS, type Witnessed, witnessed } from "./promise.ts"
import { keyAt, keys } from "./shared.ts"

describe("messages", () => {
  test("calls and casts arrive at most once, in order per sender, over bad links and while names move", async () => {
    for (const seed of SEEDS) {
      const { ran, Log } = witnessed()
      await simulate(
        { nodes: 4, seed, processes: [Log], options: { timing: "wan" } },
        async (sim) => {
          const [a, b, c, d] = sim.nodes as [SimNode, SimNode, SimNode, SimNode]
          for (const key of keys(6)) await a.start(Log, key)
          sim.link(a, b, { loss: 0.2 })
          sim.link(b, c, { delay: "30 millis", loss: 0.05 })
          sim.link(a, d, { delay: "100 millis" })
          const sent = new Sent()
          const over = sender(sim, [a, b, c], Log, sent)
          for (let i = 0; i < 20; i++) {
            await sim.advance("150 millis")
            // Every one of these loses what is on its way.
            sim.fault({ kind: "reset", link: [i % 3, (i + 1) % 3] })
            if (i === 5) await sim.join()
            if (i === 10) void d.leave()
          }
          await over()
          await sim.converged()
          assert.ok(sent.answered.size > 300, `${sent.answered.size}`)
          assert.ok(sent.failed.size > 0, "nothing was lost under way: the links were too good")
          orderly(ran, sent)
        },
      )
    }
  })

  test("messages are in order also where the sender's own node becomes the owner", async () => {
    for (const seed of SEEDS.slice(0, 5)) {
      const { ran, Log } = witnessed()
      await simulate({ nodes: 2, seed, processes: [Log] }, async (sim) => {
        const [a, b] = sim.nodes as [SimNode, SimNode]
        const log = await a.start(Log, keyAt(b, Log))
        // What a has sent to b is still on its way when a is the owner: b passes it on.
        sim.link(a, b, { delay: "100 millis" })
        const left = sim.advance("50 millis").then(() => b.leave())
        for (let i = 1; i <= 300; i++) {
          log.cast.note(`${log.key} a ${i}`)
          await sim.advance("4 millis")
        }
        await left
        await sim.advance("2 seconds")
        const numbers = ran.map(({ entry }) => Number(entry.split(" ")[2]))
        assert.deepEqual(
          numbers,
          Array.from({ length: 300 }, (_, i) => i + 1),
        )
      })
    }
  })

  test("a planned move loses no state and no accepted message: joins and leaves under load", async () => {
    for (const seed of SEEDS) {
      const { ran, Log } = witnessed()
      const rebalance = seed % 2 === 0 ? "active" : "passive"
      await simulate({ nodes: 3, seed, processes: [Log], options: { rebalance } }, async (sim) => {
        const [a, b, c] = sim.nodes as [SimNode, SimNode, SimNode]
        for (const key of keys(30)) await a.start(Log, key)
        const sent = new Sent()
        const over = sender(sim, [a], Log, sent)
        await sim.advance("100 millis")
        const d = await sim.join()
        await sim.advance("200 millis")
        await b.leave()
        await sim.join()
        await sim.advance("100 millis")
        await Promise.all([c.leave(), d.leave()])
        await over()
        await sim.converged()
        assert.deepEqual([...sent.failed], [])
        orderly(ran, sent)
        // Not only that it ran: its effect on the state is there.
        for (const key of keys(30)) {
          const state = await a.ref(Log, key).all()
          assert.deepEqual(
            state,
            ran.filter((one) => one.key === key).map(({ entry }) => entry),
          )
        }
        assert.equal(ran.length, sent.answered.size + sent.casts.size, "casts as well")
        assert.ok(sim.events.filter(({ event }) => event._tag === "ProcessesArrived").length > 10)
      })
    }
  })
})

/** What senders sent: entries are a key, a sender and a rising number. */
class Sent {
  readonly casts = new Set<string>()
  /** Calls, by whether they succeeded. */
  readonly answered = new Set<string>()
  readonly failed = new Set<string>()
  readonly #next = new Map<string, number>()

  next(key: string, by: string): string {
    const n = (this.#next.get(`${key} ${by}`) ?? 0) + 1
    this.#next.set(`${key} ${by}`, n)
    return `${key} ${by} ${n}`
  }
}

/** Sends calls and casts from all of these nodes, without awaiting each; the result ends that. */
function sender(
  sim: Sim,
  nodes: ReadonlyArray<SimNode>,
  Log: Witnessed["Log"],
  sent: Sent,
): () => Promise<void> {
  let going = true
  const loop = async (node: SimNode, count: number): Promise<void> => {
    const calls: Array<Promise<void>> = []
    for (let i = 0; going; i++) {
      const key = `k${i % count}`
      const ref = node.ref(Log, key).with({ timeout: 30_000 })
      for (let j = 0; j < 2; j++) {
        const cast = sent.next(key, node.name)
        ref.cast.note(cast)
        sent.casts.add(cast)
      }
      const call = sent.next(key, node.name)
      const answered = ref.push(call).then(
        () => void sent.answered.add(call),
        () => void sent.failed.add(call),
      )
      calls.push(answered)
      await sim.advance("4 millis")
    }
    await Promise.all(calls)
  }
  const loops = Promise.all(nodes.map((node) => loop(node, nodes.length === 1 ? 30 : 6)))
  return async () => {
    going = false
    await loops
  }
}

/** No entry ran twice, each sender's in order, and every call that succeeded did run. */
function orderly(ran: Witnessed["ran"], { casts, answered, failed }: Sent): void {
  const last = new Map<string, number>()
  const seen = new Set<string>()
  for (const { key, entry } of ran) {
    const [of, sender, number] = entry.split(" ")
    assert.equal(of, key)
    const before = last.get(`${key} ${sender}`) ?? 0
    assert.ok(Number(number) > before, `${entry} ran after ${before}`)
    last.set(`${key} ${sender}`, Number(number))
    seen.add(entry)
    const known = casts.has(entry) || answered.has(entry) || failed.has(entry)
    assert.ok(known, `${entry} came from nowhere`)
  }
  for (const entry of answered) assert.ok(seen.has(entry), `${entry} was answered and never ran`)
}
