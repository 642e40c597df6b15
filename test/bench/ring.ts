/**
 * The ring: what a lookup costs, how even the load is, and how much a join moves.
 *
 * @module
 */
import * as Ring from "../../src/core/ring.ts"
import { type Bench, type Context, median, nanos, type Result, result } from "./harness.ts"

export const bench: Bench = {
  name: "ring",
  cases: {
    "lookup-10": {
      better: "less",
      goal: 80,
      target: 60,
      peers: { "rendezvous per key": 119, "Effect HashRing": 239, libring: 404, hashring: 1500 },
    },
    "lookup-100": {
      better: "less",
      goal: 80,
      target: 60,
      peers: { "rendezvous per key": 325, "Effect HashRing": 386, libring: 463, hashring: 1900 },
    },
    "peak-to-mean-100": {
      better: "less",
      goal: 1.1,
      peers: { "rendezvous per key": 1.03, "Effect HashRing": 1.16, libring: 1.28 },
    },
    "moved-on-join-100": { better: "less", goal: 1.03 },
  },
  async run(context: Context): Promise<ReadonlyArray<Result>> {
    context.note("lookups of 24-character names")
    const lookups = [await lookup("lookup-10", 10), await lookup("lookup-100", 100)]
    context.note("balance and movement of 1,000,000 keys")
    const keys = keysBySlot(1_000_000)
    return [...lookups, balance(keys), movement(keys)]
  },
}

/** Owner of a name, its hash included; the baseline finds the same name in a Map. */
async function lookup(name: string, size: number): Promise<Result> {
  const ring = Ring.make(cluster("node-", size))
  const names = Array.from({ length: 4096 }, (_, i) => `process/order-${digits(i * 7919)}`)
  const map = new Map(names.map((key) => [key, Ring.owner(ring, key)!]))
  const first = Ring.owner(ring, names[0]!)
  const plain = await nanos(7, 2_000_000, (operations) => {
    let hits = 0
    for (let i = 0; i < operations; i++) if (map.get(names[i & 4095]!) === first) hits++
    return hits
  })
  const runs = await nanos(7, 2_000_000, (operations) => {
    let hits = 0
    for (let i = 0; i < operations; i++) if (Ring.owner(ring, names[i & 4095]!) === first) hits++
    return hits
  })
  return result(name, "ns", runs, {
    baseline: { name: "Map.get", median: median(plain) },
  })
}

/** The fullest of 100 members over the mean. Chance decides: one run is one naming of the members. */
function balance(keys: Uint32Array): Result {
  const total = keys.reduce((sum, count) => sum + count, 0)
  const runs = namings.map((prefix) => {
    const ring = Ring.make(cluster(prefix, 100))
    const loads = new Map<string, number>()
    for (const [slot, count] of keys.entries()) {
      const id = Ring.ownerOfSlot(ring, slot)!
      loads.set(id, (loads.get(id) ?? 0) + count)
    }
    return Math.max(...loads.values()) / (total / 100)
  })
  return result("peak-to-mean-100", "× the mean", runs)
}

/**
 * The keys that move when one joins 100 members, over 1/101 of all. Chance decides how many slots a
 * newcomer wins (± 4 %), so that one run is the mean of 20 newcomers. Throws if any key moves between
 * old members.
 */
function movement(keys: Uint32Array): Result {
  const newcomers = 20
  const total = keys.reduce((sum, count) => sum + count, 0)
  const runs = namings.map((prefix) => {
    const ring = Ring.make(cluster(prefix, 100))
    let moved = 0
    for (let i = 0; i < newcomers; i++) {
      const id = `${prefix}new-${i}`
      const larger = Ring.add(ring, id)
      for (const [slot, count] of keys.entries()) {
        const owner = Ring.ownerOfSlot(larger, slot)
        if (owner === Ring.ownerOfSlot(ring, slot)) continue
        if (owner !== id) throw new Error(`BUG: slot ${slot} moved between old members`)
        moved += count
      }
    }
    return moved / newcomers / (total / 101)
  })
  return result("moved-on-join-100", "× the ideal", runs)
}

/** How names of members begin; numbers follow. */
const namings: ReadonlyArray<string> = [
  "node-",
  "n",
  "worker-",
  "127.0.0.1:70",
  "shop@10.0.0.",
  "eu-west-1/pod-",
  "app_",
]

function cluster(prefix: string, size: number): ReadonlyArray<Ring.Weighted> {
  return Array.from({ length: size }, (_, i) => ({ id: `${prefix}${i + 1}`, weight: 1 }))
}

/** How many of so many keys fall into each slot. */
function keysBySlot(count: number): Uint32Array {
  const slots = new Uint32Array(Ring.SLOTS)
  for (let i = 0; i < count; i++) slots[Ring.slot(`process/order-${digits(i)}`)]! += 1
  return slots
}

function digits(value: number): string {
  return String(value).padStart(10, "0")
}
