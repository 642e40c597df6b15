/** What a node tells of a group: events in order, handlers, and what a node takes along. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import type { Group, GroupEvent } from "../../mod.ts"
import { cluster, deferred, event } from "./cluster.ts"
import { at, crew, definitions, left, type Three, Worker, type Workers } from "./crew.ts"

describe("the events of a group", () => {
  test("every node tells of every change once, with what was before", async () => {
    await using three = await cluster(["a", "b", "c"], definitions)
    const [a, b] = three.nodes as unknown as Three
    const told = three.nodes.map(() => [] as Array<unknown>)
    const all = three.nodes.map((node, i) => heard(node.group("crew", Worker), 6, told[i] ?? []))
    const worker = await at(b, Worker)
    const group: Workers = a.group("crew", Worker)
    await group.join(worker, { meta: { load: 1 } })
    await group.disable(worker)
    await group.disable(worker)
    await group.update(worker, { load: 2 })
    await group.update(worker, { load: 2 })
    await group.enable(worker)
    await group.leave(worker)
    await group.join(worker)
    await Promise.all(all)
    for (const events of told) {
      assert.deepEqual(events, [
        ["Joined", true, { load: 1 }],
        ["Updated", false, { load: 1 }, { node: "b", online: true, meta: { load: 1 } }],
        ["Updated", false, { load: 2 }, { node: "b", online: false, meta: { load: 1 } }],
        ["Updated", true, { load: 2 }, { node: "b", online: false, meta: { load: 2 } }],
        ["Left", true, { load: 2 }, { node: "b", online: true, meta: { load: 2 } }],
        ["Joined", true, undefined],
      ])
    }
  })

  test("handlers are called until they are taken off, behind what they can look at", async () => {
    await using two = await cluster(["a", "b"], definitions)
    const [a, b] = two.nodes as unknown as Three
    const group = a.group("crew", Worker)
    const told: Array<string> = []
    const off = group.on({
      joined: ({ group: name, member }) => told.push(`${name} + ${member.process} ${group.count}`),
      left: ({ member, reason }) => told.push(`- ${member.process} ${reason} ${group.count}`),
    })
    const failed = event(a, "ListenerFailed")
    group.on({
      updated: () => {
        throw new Error("on purpose")
      },
    })
    const other = deferred<void>()
    group.on({ updated: () => other.resolve() })
    const worker = await at(b, Worker)
    await group.join(worker)
    await group.disable(worker)
    await other.promise
    assert.deepEqual(await failed, {
      _tag: "ListenerFailed",
      event: "Updated",
      reason: "on purpose",
    })
    await group.leave(worker)
    await Promise.resolve()
    assert.deepEqual(told, [`crew + ${worker.name} 1`, `- ${worker.name} left 0`])
    off()
    await group.join(worker)
    await Promise.resolve()
    assert.equal(told.length, 2)
  })

  test("a node that dies takes its members along, and a node that stops ends its streams", async () => {
    await using three = await cluster(["a", "b", "c"], definitions)
    const [a, b, c] = three.nodes as unknown as Three
    const gone = [a, b].map((node) => left(node.group("crew", Worker), 2))
    await crew([a, c, c])
    const down = event(a, "MemberDown")
    await c.stop()
    await down
    for (const reasons of gone) assert.deepEqual(await reasons, ["node down", "node down"])
    assert.deepEqual(a.group("crew", Worker).nodes(), ["a"])
    const stream = a.group("crew", Worker).events()
    const next = stream.next()
    await a.stop()
    assert.deepEqual(await next, { value: undefined, done: true })
  })
})

/** Puts the next so many events of a group in a list. */
async function heard(
  group: Group<typeof Worker>,
  count: number,
  into: Array<unknown>,
): Promise<void> {
  for await (const one of group.events()) {
    into.push(inWords(one))
    if (into.length === count) break
  }
}

function inWords(one: GroupEvent<typeof Worker>): unknown {
  if (one._tag === "EventsLost") return [one._tag, one.count]
  const { online, meta } = one.member
  return [one._tag, online, meta, ...(one._tag === "Joined" ? [] : [one.before])]
}
