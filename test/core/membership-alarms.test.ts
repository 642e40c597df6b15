import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import { calm, type Members, type Node, seen } from "./scenes.ts"

describe("false alarms", () => {
  test("5. A stall of 3.5 s of one node never removes anybody anywhere", () => {
    for (let seed = 1; seed <= 40; seed++) {
      const { net, nodes } = calm(2 + (seed % 8), seed)
      const stalled = nodes[net.chance("who", nodes.length)] as Node
      net.pause(stalled)
      net.run(3_500)
      net.resume(stalled)
      net.run(8_000)
      assertNobodyDown(net, nodes)
    }
  })

  test("5. Nor of any part of the cluster together, nor of one after the other", () => {
    for (let seed = 1; seed <= 40; seed++) {
      const { net, nodes } = calm(2 + (seed % 8), seed)
      const stalled = nodes.filter(() => net.chance("who", 2) === 0)
      const waits = stalled.map(() => net.chance("wait", 2) * net.chance("later", 500))
      for (const [i, node] of stalled.entries()) {
        net.run(waits[i] as number)
        net.pause(node)
      }
      const already = waits.slice(1).reduce((sum, wait) => sum + wait, 0)
      net.run(Math.max(0, 3_500 - already))
      for (const node of stalled) net.resume(node)
      net.run(8_000)
      assertNobodyDown(net, nodes)
    }
  })

  test("5. Nobody is removed earlier than 3 s after the first accusation unless its socket was closed", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const { net, nodes } = calm(9, seed)
      const [victim, ...rest] = nodes as [Node, ...Array<Node>]
      net.pause(victim)
      net.run(6_000)
      for (const node of rest) {
        const at = (tag: string): number =>
          node.events.find(({ event }) => event._tag === tag)?.at ?? Number.NaN
        // The others' word comes a little earlier than the own clock's.
        assert.ok(at("Down") - at("Suspect") > 2_990, `${at("Down") - at("Suspect")} ms`)
      }
    }
  })

  test("6. Five of eight observers that hear nothing don't remove a healthy member", () => {
    for (let seed = 1; seed <= 10; seed++) {
      const { net, nodes } = calm(9, seed)
      const deaf = nodes.slice(4)
      for (const node of deaf) for (const other of nodes) if (other !== node) net.cut(other, node)
      net.run(12_000)
      for (const node of nodes.slice(0, 4)) {
        for (const healthy of ["n0", "n1", "n2", "n3"]) assert.equal(seen(node, "Down", healthy), 0)
      }
    }
  })

  test("6. Observers that can't reach a member directly find it through others, and accuse nobody", () => {
    for (const oneWay of [false, true]) {
      const { net, nodes } = calm(5, 2)
      const [a, b, c] = nodes as [Node, Node, Node]
      for (const other of [b, c]) {
        net.cut(a, other)
        if (!oneWay) net.cut(other, a)
      }
      net.run(60_000)
      for (const node of nodes) assert.equal(seen(node, "Suspect"), 0)
      assertNobodyDown(net, nodes)
    }
  })

  test("a node that can't hear, or can't be heard, is removed; the others stay", () => {
    for (const deaf of [true, false]) {
      const { net, nodes } = calm(5, 3)
      const [broken, ...rest] = nodes as [Node, ...Array<Node>]
      for (const node of rest) deaf ? net.cut(node, broken) : net.cut(broken, node)
      net.run(6_000)
      for (const node of rest) {
        assert.equal(seen(node, "Down", "n0"), 1)
        assert.equal(seen(node, "Down"), 1)
        assert.equal(seen(node, "Up"), 4)
      }
      net.mend()
      net.settle(nodes, 15_000)
    }
  })

  test("a node whose connections are refused, though it runs, refutes that", () => {
    for (let seed = 1; seed <= 10; seed++) {
      const { net, nodes } = calm(2 + (seed % 4), seed)
      const [deaf, ...rest] = nodes as [Node, ...Array<Node>]
      deaf.links.deafen()
      for (const node of rest) net.reset(deaf, node)
      net.run(5_000)
      assertNobodyDown(net, nodes)
      net.settle(nodes, 1_000)
    }
  })

  test("connections that break again and again remove nobody", () => {
    const { net, nodes } = calm(4, 5)
    for (let i = 0; i < 200; i++) {
      const a = nodes[net.chance("a", 4)] as Node
      const b = nodes[net.chance("b", 4)] as Node
      if (a !== b) net.reset(a, b)
      net.run(net.chance("wait", 300))
    }
    assertNobodyDown(net, nodes)
    net.settle(nodes, 1_000)
  })

  test("a node that slept says so, is a member again, and removes nobody for it", () => {
    for (let seed = 1; seed <= 10; seed++) {
      const { net, nodes } = calm(4, seed)
      const [sleeper, ...rest] = nodes as [Node, ...Array<Node>]
      net.pause(sleeper)
      net.run(60_000)
      for (const node of rest) assert.equal(seen(node, "Down", "n0"), 1)
      net.resume(sleeper)
      net.settle(nodes, 12_000)
      assert.equal(seen(sleeper, "Slept"), 1)
      assert.equal(seen(sleeper, "Down"), 0)
      for (const node of rest) assert.equal(seen(node, "Up", "n0"), 2)
    }
  })
})

describe("splits", () => {
  test("9. Who stays connected is never down for each other, during a split and its heal", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 9 }),
        fc.nat(1_000_000),
        fc.array(fc.integer({ min: 500, max: 20_000 }), { minLength: 1, maxLength: 3 }),
        (size, seed, waits) => {
          const { net, nodes } = calm(size, seed)
          const side = nodes.map(() => net.chance("side", 2))
          const [some, others] = [0, 1].map((which) => nodes.filter((_, i) => side[i] === which))
          for (const wait of waits) {
            net.split(some ?? [], others ?? [])
            net.run(wait)
            net.mend()
            net.run(net.chance("healed", 3_000))
          }
          net.settle(nodes, 13_000)
          for (const group of [some ?? [], others ?? []]) {
            for (const node of group) {
              for (const { name } of group) assert.equal(seen(node, "Down", name), 0)
            }
          }
        },
      ),
      { numRuns: 40 },
    )
  })

  test("a split heals within 10 s of its end nine times in ten, within 13 s always", () => {
    const times: Array<number> = []
    for (let seed = 1; seed <= 30; seed++) {
      const { net, nodes } = calm(6, seed)
      net.split(nodes.slice(0, 3), nodes.slice(3))
      net.run(30_000 + net.chance("split", 5_000))
      for (const node of nodes) assert.equal(seen(node, "Down"), 3)
      net.mend()
      times.push(net.settle(nodes, 13_000))
    }
    times.sort((a, b) => a - b)
    assert.ok((times[27] as number) <= 10_000, times.join())
  })

  test("a node that is cut off learns that it is alone", () => {
    const { net, nodes } = calm(3, 1)
    const [alone, ...rest] = nodes as [Node, ...Array<Node>]
    net.split([alone], rest)
    net.run(6_000)
    assert.equal(seen(alone, "Isolated"), 1)
    for (const node of rest) assert.equal(seen(node, "Isolated"), 0)
  })
})

function assertNobodyDown(net: Members, nodes: ReadonlyArray<Node>): void {
  for (const node of nodes) assert.equal(seen(node, "Down"), 0, `${node.name}\n${net}`)
}
