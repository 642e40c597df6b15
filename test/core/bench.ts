/** One supervisor with its registry, taken through its paces by a test that plays all the others. */
import assert from "node:assert/strict"
import * as Registry from "../../src/core/registry.ts"
import * as Ring from "../../src/core/ring.ts"
import * as Supervision from "../../src/core/supervision.ts"

/** An input without its time. */
export type Told<A> = A extends unknown ? Omit<A, "now"> : never

/** One supervisor with its registry; the others are played by the test. */
export class Bench {
  now: number = 0
  readonly registry: Registry.State
  readonly state: Supervision.State
  outputs: ReadonlyArray<Supervision.Output> = []

  constructor(name: string, options: Partial<Supervision.Options> = {}) {
    this.registry = Registry.init({ name, epoch: 1 })
    this.state = Supervision.init({ name, ...options })
  }

  step(input: Told<Supervision.Input>): ReadonlyArray<Supervision.Output> {
    const timed = { ...input, now: this.now } as Supervision.Input
    this.outputs = Supervision.step(this.state, timed, this.registry).outputs
    return this.outputs
  }

  hear(from: string, message: Supervision.Message): ReadonlyArray<Supervision.Output> {
    return this.step({ _tag: "Message", from, message })
  }

  /** Its ring is of these, all linked; they agree as far as they are asked to. */
  ring(ids: ReadonlyArray<string>, agree: boolean = true): void {
    for (const id of ids) {
      if (id === this.state.name) continue
      Registry.step(this.registry, { _tag: "MemberUp", now: this.now, name: id, epoch: 1 })
      if (!this.state.echoes.has(id)) this.step({ _tag: "LinkUp", peer: id })
      this.listed(id)
    }
    this.step({ _tag: "Ring", members: ids.map((id) => ({ id, weight: 1 })) })
    this.now += 200
    this.step({ _tag: "Tick" })
    // First everybody computes with it, and then everybody has taken over.
    if (agree) for (const id of [...ids, ...ids]) this.agree(id)
  }

  /** The peer says whatever this node says of the ring, up to its last word. */
  agree(peer: string): void {
    if (peer === this.state.name) return
    for (let i = 0; i < 2; i++)
      this.hear(peer, { _tag: "Settle", signature: word(this), ask: false })
  }

  ask(slot: number, id: number = 1): ReadonlyArray<Supervision.Output> {
    return this.step({ _tag: "Ask", id, slot })
  }

  sent(): ReadonlyArray<readonly [string, string]> {
    return this.outputs.flatMap((output) =>
      output._tag === "Send" && output.message._tag !== "Settle"
        ? [[output.to, output.message._tag] as const]
        : [],
    )
  }

  tags(): ReadonlyArray<string> {
    return this.outputs
      .map(({ _tag }) => _tag)
      .filter((tag) => tag !== "Registry" && tag !== "Send")
  }

  /** The peer says that it hasn't written anything that isn't here. */
  listed(owner: string): void {
    const table = this.registry.tables.get(owner)
    const tables = [{ owner, epoch: table?.epoch ?? 1, seq: table?.seq ?? 0 }]
    const message = { _tag: "Tables", tables, answer: false } as const
    Registry.step(this.registry, { _tag: "Message", now: this.now, from: owner, message })
  }

  /** Another node's operations, from its first on. */
  theirs(owner: string, ops: ReadonlyArray<Registry.Op>): void {
    const from = (this.registry.tables.get(owner)?.seq ?? 0) + 1
    const message = { _tag: "Ops", owner, epoch: 1, from, ops } as const
    Registry.step(this.registry, { _tag: "Message", now: this.now, from: owner, message })
  }

  name(name: string, generation: number = 1, sticky: boolean = false): void {
    const put = { _tag: "Put", wall: 1, name, generation, pid: 1, meta: undefined, sticky } as const
    Registry.step(this.registry, put)
    this.step({ _tag: "Placed", name })
  }
}

/** What this node last said to somebody of its ring. */
export function word(bench: Bench): number {
  const probe = Supervision.step(
    bench.state,
    {
      _tag: "Message",
      now: bench.now,
      from: "nobody",
      message: { _tag: "Settle", signature: 0, ask: true },
    },
    bench.registry,
  )
  for (const output of probe.outputs)
    if (output._tag === "Send" && output.message._tag === "Settle") return output.message.signature
  throw new Error("BUG: no word")
}

/** A slot that is `owner`'s in the ring of these. */
export function slotOf(owner: string, ids: ReadonlyArray<string>, nth: number = 0): number {
  const ring = Ring.make(ids.map((id) => ({ id, weight: 1 })))
  for (let slot = 0, n = 0; slot < Ring.SLOTS; slot++)
    if (Ring.ownerOfSlot(ring, slot) === owner && n++ === nth) return slot
  throw new Error("BUG: no such slot")
}

export function nameIn(slot: number): string {
  for (let i = 0; ; i++) if (Ring.slot(`count/${i}`) === slot) return `count/${i}`
}

/** A name whose slot is a's among `before` and b's among `after`. */
export function mover(before: ReadonlyArray<string>, after: ReadonlyArray<string>): string {
  const rings = [before, after].map((ids) => Ring.make(ids.map((id) => ({ id, weight: 1 }))))
  for (let i = 0; ; i++) {
    const [a, b] = rings.map((ring) => Ring.owner(ring, `count/${i}`))
    if (a === "a" && b === "b") return `count/${i}`
  }
}

/** A bench whose one name has been offered to b. */
export function offered(change?: (bench: Bench) => void): {
  bench: Bench
  slot: number
  generation: number
} {
  const bench = new Bench("a")
  bench.ring(["a"])
  const name = mover(["a"], ["a", "b"])
  const slot = Ring.slot(name)
  bench.ask(slot)
  bench.name(name)
  bench.step({ _tag: "Started", slot })
  bench.ring(["a", "b"])
  change?.(bench)
  assert.ok(bench.state.outgoing.has(slot))
  return { bench, slot, generation: 2 }
}

export function committed(): ReturnType<typeof offered> {
  const move = offered()
  const { bench, slot, generation } = move
  bench.hear("b", { _tag: "Accept", slot, generation })
  const freeze = bench.outputs.find(({ _tag }) => _tag === "Freeze")
  const names = freeze?._tag === "Freeze" ? freeze.names : []
  bench.step({ _tag: "Captured", slot, names })
  bench.hear("b", { _tag: "Installed", slot, generation })
  assert.deepEqual(bench.tags(), ["Depart"])
  return move
}

/** The bench gets a slot from a peer, up to the commit. */
export function receive(bench: Bench, from: string, slot: number, generation: number): void {
  bench.hear(from, { _tag: "Offer", slot, generation })
  assert.deepEqual(bench.sent(), [[from, "Accept"]])
  bench.step({ _tag: "Restored", slot, generation, ok: true })
  assert.deepEqual(bench.sent(), [[from, "Installed"]])
  bench.hear(from, { _tag: "Commit", slot, generation })
  assert.ok(bench.tags().includes("Activate"))
}
