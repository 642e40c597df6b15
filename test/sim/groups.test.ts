/**
 * Groups with whole nodes: the scenarios of the family of groups and services. Those about members whose nodes
 * come and go are in group-members.test.ts.
 *
 * Read as it applies here: what S15 and S38 call a leave followed by a join is one event, Updated, which has
 * both states; that snapshots are authoritative (S5) and unknown peers ignored (S11) is tested of the core.
 */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import type { GroupEvent, Ref } from "skein"
import { type Sim, type SimNode, simulate } from "skein/testing"
import { at, crew, Resident, record, seeds, three, Worker, type Workers } from "./crew.ts"
import { chances, tagOf } from "./shared.ts"

describe("services", () => {
  test("S10. a name that was just started and joined is a member at its caller at once", async () => {
    for (const seed of seeds(5))
      await simulate({ ...three, seed }, async (sim) => {
        for (const node of sim.nodes)
          for (let i = 0; i < 6; i++) {
            const worker = await node.start(Worker, `${node.name}${i}`)
            const group = node.group(["crew", i], Worker)
            await group.join(worker)
            assert.ok(group.members().some(({ process }) => process === worker.name))
            await group.leave(worker)
            assert.ok(!group.members().some(({ process }) => process === worker.name))
            await group.join(worker)
          }
        await sim.converged()
        for (const node of sim.nodes) assert.equal(node.group(["crew", 3]).count, 3)
      })
  })

  test("S10. a join is known where it was asked for when it resolves, also if something before it was lost on the way", async () => {
    for (const seed of seeds(5))
      await simulate({ ...three, seed }, async (sim) => {
        const [a, b] = sim.nodes as [SimNode, SimNode]
        const worker = await at(b, 1)
        await sim.converged()
        let lost = 0
        sim.rule(({ from, to, what }) => {
          if (lost > 0 || from !== "b" || to !== "a" || what !== "Ops") return "pass"
          lost++
          return "drop"
        })
        await b.spawn(Resident)
        await a.group("crew", Worker).join(worker)
        assert.equal(lost, 1)
        assert.equal(a.group("crew").count, 1)
      })
  })

  test("S13. a call of all with a slow member gives everybody else's answer with their metadata", async () => {
    for (const seed of seeds(5))
      await simulate({ ...three, seed }, async (sim) => {
        const [a, b] = sim.nodes as [SimNode, SimNode]
        const [one, slow, far] = await Promise.all([at(a, 1), at(a, 2), at(b, 3)])
        const group: Workers = a.group("crew", Worker)
        for (const [i, worker] of [one, slow, far].entries())
          await group.join(worker, { meta: i + 1 })
        slow.cast.slow(200)
        const began = sim.now
        const { replies, failures } = await group.all.with({ timeout: 100 }).work()
        assert.deepEqual(
          replies.map(({ value, meta, node }) => [value, meta, node]),
          [
            [one.key, 1, "a"],
            [far.key, 3, "b"],
          ],
        )
        assert.deepEqual(
          failures.map(({ process, meta, error }) => [process, meta, error._tag]),
          [[slow.name, 2, "Timeout"]],
        )
        assert.ok(sim.now - began < 150, "there is one deadline for all")
      })
  })

  test("S14. what is cast to all comes once to each, to the local ones only to them, and they are counted", async () => {
    for (const seed of seeds(5))
      await simulate({ ...three, seed }, async (sim) => {
        const workers = await crew(sim, 7)
        const counts: Array<number> = []
        for (const [n, node] of sim.nodes.entries()) {
          const group = node.group("crew", Worker)
          assert.equal(group.all.cast.tell(n), workers.length)
          counts.push(group.here.cast.tell(100 + n))
          assert.equal(group.local().length, counts[n])
        }
        assert.equal(counts[0]! + counts[1]! + counts[2]!, workers.length)
        await sim.advance("1 second")
        for (const { key } of workers) {
          const seen = (await sim.nodes[0]?.ref(Worker, key).seen()) ?? []
          const home = sim.owners(Worker, key)[0] ?? ""
          assert.deepEqual(
            [...seen].sort((x, y) => x - y),
            [0, 1, 2, 100 + "abc".indexOf(home)],
          )
        }
      })
  })

  test("S15. a service that is disabled stays listed and is told of, but no key finds it until it is enabled", async () => {
    for (const seed of seeds(5))
      await simulate({ ...three, seed }, async (sim) => {
        const [a, , c] = sim.nodes as [SimNode, SimNode, SimNode]
        const told = sim.nodes.map((node) => record(node, "uploader"))
        const worker = await at(c, 1)
        const uploads = a.group("uploader", Worker)
        await uploads.join(worker)
        assert.equal(uploads.find("file.png")?.process, worker.name)
        await uploads.disable(worker)
        await sim.advance("1 second")
        for (const node of sim.nodes) {
          const group = node.group("uploader", Worker)
          assert.deepEqual(
            group.members().map(({ process, online }) => [process, online]),
            [[worker.name, false]],
          )
          assert.deepEqual(group.online(), [])
          assert.equal(group.find("file.png"), undefined)
          assert.equal(await tagOf(group.byKey("file.png").work()), "NoMember")
          assert.deepEqual(await group.all.work(), { replies: [], failures: [] })
        }
        await uploads.enable(worker)
        await sim.advance("1 second")
        for (const [i, node] of sim.nodes.entries()) {
          assert.equal(await node.group("uploader", Worker).byKey("file.png").work(), worker.key)
          assert.deepEqual(told[i], [
            `+ ${worker.name} online`,
            `* ${worker.name} offline, was online`,
            `* ${worker.name} online, was offline`,
          ])
        }
      })
  })

  test("S38. an update is told of with what was before; of what is unknown it is an error, a second join too", async () => {
    await simulate(three, async (sim) => {
      const [a, b, c] = sim.nodes as [SimNode, SimNode, SimNode]
      const worker = await at(b, 1)
      const group: Workers = a.group("crew", Worker)
      const events: Array<GroupEvent<typeof Worker, number>> = []
      const there: Workers = c.group("crew", Worker)
      there.on({ joined: (e) => events.push(e), updated: (e) => events.push(e) })
      assert.equal(await tagOf(group.update(worker, 1)), "NotMember")
      await group.join(worker, { meta: 1 })
      assert.equal(await tagOf(group.join(worker, { meta: 2 })), "AlreadyMember")
      await group.update(worker, (load) => (load ?? 0) + 1)
      await sim.advance("1 second")
      assert.equal(await group.leave(await at(b, 2)), false)
      const [joined, updated] = events
      assert.ok(joined?._tag === "Joined" && joined.member.meta === 1)
      assert.ok(updated?._tag === "Updated" && updated.member.meta === 2)
      assert.deepEqual(updated.before, { node: "b", online: true, meta: 1 })
      assert.equal(events.length, 2)
    })
  })
})

describe("a storm", () => {
  test("S7. of joins, leaves and ends at four nodes leaves all of them with the same living members", async () => {
    for (const seed of seeds(3))
      await simulate({ nodes: 4, seed, processes: [Worker, Resident] }, async (sim) => {
        const told = sim.nodes.map((node) => follow(node, "concurrent"))
        const alive = new Set<string>()
        await Promise.all(sim.nodes.map((node) => storm(sim, node, alive)))
        await sim.converged()
        const [first] = sim.nodes.map((node) => names(node))
        for (const [i, node] of sim.nodes.entries()) {
          assert.deepEqual(names(node), first)
          assert.deepEqual([...(told[i] ?? [])].sort(), first, "what is told adds up to what is so")
        }
        assert.ok((first?.length ?? 0) > 5)
        assert.deepEqual(first, [...alive].sort())
      })
  })
})

/** 250 rounds: a process that starts and joins; one in ten ends again, one in five leaves. */
async function storm(sim: Sim, node: SimNode, alive: Set<string>): Promise<void> {
  const group = node.group("concurrent", Resident)
  const next = chances(node.index + 4 * sim.seed)
  const mine: Array<Ref<typeof Resident>> = []
  for (let round = 0; round < 250; round++) {
    const one = mine.length > 10 ? mine.splice(next(10), 1)[0] : undefined
    const each = one ?? (await node.spawn(Resident))
    if (one === undefined) mine.push(each)
    if (one !== undefined && next(2) === 0) {
      await node.stopProcess(each)
      alive.delete(each.name)
    } else if (one !== undefined) {
      await group.leave(each)
      alive.delete(each.name)
    } else {
      await group.join(each)
      alive.add(each.name)
    }
    await sim.advance(1 + next(30))
  }
}

/** The members as they follow from the events alone. */
function follow(node: SimNode, name: string): Set<string> {
  const members = new Set<string>()
  node.group(name).on({
    joined: ({ member }) => {
      assert.ok(!members.has(member.process))
      members.add(member.process)
    },
    left: ({ member }) => assert.ok(members.delete(member.process)),
  })
  return members
}

function names(node: SimNode): Array<string> {
  return node
    .group("concurrent")
    .members()
    .map(({ process }) => process)
    .sort()
}
