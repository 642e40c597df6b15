/**
 * Runs put together by hand: a short one to be read line by line, and a long one that has
 * everything.
 */
import * as fc from "fast-check"
import { avalanche } from "../../src/core/hash.ts"
import { type Happening, Trace } from "../../src/testing/world/trace.ts"

/** A trace that is written event by event. */
export class Script {
  readonly trace: Trace
  readonly #names: ReadonlyArray<string>
  readonly #sends = new Map<number, number>()
  #packets = 0

  constructor(name: string, names: ReadonlyArray<string>, seed: number) {
    this.trace = new Trace({ name, nodes: names, seed }, true)
    this.#names = names
  }

  /** The index of a node. */
  node(name: string): number {
    return this.#names.indexOf(name)
  }

  add(ms: number, by: number | undefined, event: Happening): number {
    return this.trace.add(Math.round(ms * 1_000), by, () => event)
  }

  /** The packet that is sent. */
  send(ms: number, from: string, to: string, what: string, by?: number): number {
    const packet = this.#packets++
    const [a, b] = [this.node(from), this.node(to)]
    const bytes = 20 + 7 * what.length
    const i = this.add(ms, by, { kind: "send", packet, from: a, to: b, what, bytes })
    this.#sends.set(packet, i)
    return packet
  }

  receive(ms: number, packet: number, node: string): number {
    const event = { kind: "receive", packet, node: this.node(node) } as const
    return this.add(ms, this.#sends.get(packet), event)
  }

  drop(ms: number, packet: number, why: string): number {
    return this.add(ms, this.#sends.get(packet), { kind: "drop", packet, why })
  }

  hold(ms: number, packet: number, why: string): number {
    return this.add(ms, this.#sends.get(packet), { kind: "hold", packet, why })
  }

  /** Sends and receives: the number of the event with which it arrives. */
  deliver(ms: number, at: number, from: string, to: string, what: string, by?: number): number {
    return this.receive(at, this.send(ms, from, to, what, by), to)
  }

  note(ms: number, node: string, name: string, data: unknown, by?: number): number {
    return this.add(ms, by, { kind: "note", node: this.node(node), name, data })
  }

  life(ms: number, node: string, what: string, by?: number): number {
    return this.add(ms, by, { kind: "life", node: this.node(node), what })
  }

  fault(ms: number, phase: "begin" | "end", fault: number, what: string, nodes: string): number {
    const indices = nodes.split(" ").map((name) => this.node(name))
    const momentary = /^(reset|halfOpen|step|restart)\b/.test(what)
    const groups = this.groups(what, indices)
    const event = { kind: "fault", phase, fault, what, nodes: indices, groups, momentary } as const
    return this.add(ms, undefined, event)
  }

  /** The sides of `partition a b | c` and of `isolate a`. */
  groups(what: string, nodes: ReadonlyArray<number>): ReadonlyArray<ReadonlyArray<number>> {
    const known = this.trace.header.nodes
    const all = known.map((_, i) => i)
    if (what.startsWith("isolate")) return [nodes, all.filter((node) => !nodes.includes(node))]
    if (!what.startsWith("partition")) return []
    return what
      .replace("partition ", "")
      .split("|")
      .map((side) =>
        side
          .trim()
          .split(" ")
          .map((name) => known.indexOf(name)),
      )
  }

  operation(
    ms: number,
    node: string,
    operation: number,
    phase: "call" | "ok" | "fail",
    what: string,
    by?: number,
  ): number {
    const event = { kind: "operation", node: this.node(node), operation, phase, what } as const
    return this.add(ms, by, event)
  }

  timer(ms: number, node: string, by?: number): number {
    return this.add(ms, by, { kind: "timer", node: this.node(node) })
  }

  check(ms: number, name: string, message: string, nodes: string, by?: number): number {
    const indices = nodes === "" ? [] : nodes.split(" ").map((node) => this.node(node))
    return this.add(ms, by, { kind: "check", name, message, nodes: indices })
  }
}

/**
 * Three nodes: a is cut off, c crashes, and both sides of the cut believe in a leader of their
 * own.
 */
export function short(): Trace {
  const run = new Script("leader", ["a", "b", "c"], 7)
  for (const node of ["a", "b", "c"]) run.life(0, node, "start")
  const asked = run.operation(4, "a", 1, "call", "a: register leader")
  const put = run.send(4, "a", "b", "Ops", asked)
  const copy = run.send(4, "a", "c", "Ops", asked)
  const ask = run.send(19, "b", "a", "Ask", run.receive(19, put, "b"))
  run.receive(22, copy, "c")
  run.operation(31, "a", 1, "ok", "a: register leader", run.receive(31, ask, "a"))
  run.fault(1_000, "begin", 0, "partition a | b c", "a b c")
  const probe = run.timer(1_080, "b")
  const ping = run.send(1_080, "b", "a", "Ping", probe)
  run.drop(1_092, ping, "wall")
  run.drop(1_114, run.send(1_102, "a", "b", "Ping", run.timer(1_102, "a")), "wall")
  run.deliver(1_301, 1_310, "c", "b", "Ack", run.deliver(1_290, 1_301, "b", "c", "PingRequest"))
  const held = run.send(1_400, "a", "c", "Settle")
  run.hold(1_411, held, "wall")
  run.fault(1_500, "begin", 1, "crash c", "c")
  run.life(1_500, "c", "crash")
  const late = run.timer(1_580, "b", probe)
  const suspect = run.note(1_580, "b", "MemberSuspect", { node: "a" }, late)
  run.drop(1_595, run.send(1_582, "b", "c", "Claims", suspect), "dead")
  run.fault(2_000, "end", 1, "crash c", "c")
  run.life(2_000, "c", "start")
  const joined = run.deliver(2_011, 2_024, "c", "b", "Hello")
  run.deliver(2_026, 2_041, "b", "c", "Claims", joined)
  const due = run.timer(2_080, "b", suspect)
  const down = run.note(2_080, "b", "MemberDown", { node: "a", reason: "silent" }, due)
  const told = run.deliver(2_080, 2_101, "b", "c", "Claims", down)
  const again = run.operation(2_124, "c", 2, "call", "c: register leader", told)
  run.operation(
    2_140,
    "c",
    2,
    "ok",
    "c: register leader",
    run.deliver(2_124, 2_139, "c", "b", "Ops", again),
  )
  run.fault(2_200, "end", 0, "partition a | b c", "a b c")
  run.add(2_200, undefined, { kind: "phase", what: "settle" })
  const came = run.receive(2_271, held, "c")
  run.check(2_271, "one-owner", 'two live owners of "leader": a, c', "a c", came)
  return run.trace
}

const NAMES = ["a", "b", "c", "d", "e", "f", "g", "h", "i"]
/** Who is on the small side of the long run's partition. */
const SIDE: ReadonlySet<string> = new Set(["b", "e", "h"])

/**
 * Nine nodes and 5,000 events: a partition, a crash, a pause, a clogged link, and two owners at
 * its end.
 */
export function long(): Trace {
  const storm = new Storm()
  storm.run(4_999)
  return storm.script.trace
}

interface Job {
  readonly at: number
  readonly n: number
  readonly run: () => void
}

/** A very small simulation. */
class Storm {
  readonly script: Script = new Script("registry under storms", NAMES, 3_735_928_559)
  readonly #jobs: Array<Job> = []
  readonly #down = new Set<string>()
  readonly #waiting: Array<{ readonly packet: number; readonly to: string }> = []
  #cut = false
  #clogged = false
  #draws = 0
  #now = 0
  #last: number | undefined

  #below(bound: number): number {
    return avalanche(this.#draws++ * 0x9e3779b1) % bound
  }

  #at(at: number, run: () => void): void {
    this.#jobs.push({ at, n: this.#jobs.length + this.#draws * 1e6, run })
    this.#jobs.sort((a, b) => a.at - b.at || a.n - b.n)
  }

  run(events: number): void {
    this.#plan()
    const { script } = this
    while (script.trace.count < events) {
      const job = this.#jobs.shift() as Job
      this.#now = job.at
      job.run()
    }
    while (script.trace.count < events) script.timer(this.#now, "a")
    const message = 'two live owners of "cart-17": b (time 12.104 s) and f (time 12.098 s)'
    script.check(this.#now + 2, "one-owner", message, "b f", this.#last)
  }

  #plan(): void {
    const { script } = this
    NAMES.forEach((node, k) => {
      script.life(0, node, "start")
      this.#at(100 + 37 * k, () => this.#probe(node, undefined))
      NAMES.slice(0, k).forEach((other) => {
        this.#at(20 + 3 * k, () => this.#send(node, other, "Hello", undefined))
      })
    })
    this.#partition(3_000, 11_000)
    this.#crash(5_500, 9_000)
    this.#at(7_000, () => {
      script.fault(7_000, "begin", 2, "pause d", "d")
      script.life(7_000, "d", "pause")
    })
    this.#at(8_200, () => {
      script.life(8_200, "d", "resume")
      script.fault(8_200, "end", 2, "pause d", "d")
    })
    this.#clog(9_500, 10_400)
    this.#at(12_000, () => void script.add(12_000, undefined, { kind: "phase", what: "settle" }))
    for (let k = 0; k < 24; k++) {
      const node = NAMES[k % NAMES.length] as string
      this.#at(900 + 480 * k, () => this.#register(node, k))
    }
    this.#at(12_104, () => this.#own("b", undefined))
    this.#at(12_098, () => this.#own("f", undefined))
  }

  // --- faults ------------------------------------------------------------------------------------

  #partition(from: number, to: number): void {
    const { script } = this
    const what = "partition b e h | a c d f g i"
    this.#at(from, () => {
      this.#cut = true
      script.fault(from, "begin", 0, what, NAMES.join(" "))
    })
    this.#suspect(from + 1_100, "b", "a", "silent")
    this.#suspect(from + 1_160, "c", "e", "silent")
    this.#suspect(from + 1_300, "i", "h", "silent")
    this.#at(to, () => {
      this.#cut = false
      script.fault(to, "end", 0, what, NAMES.join(" "))
      this.#release(() => true)
    })
    for (const [k, node] of NAMES.entries())
      this.#at(to + 300 + 41 * k, () => {
        const other = SIDE.has(node) ? "a" : "b"
        script.note(this.#now, node, "MemberUp", { node: other, address: `10.0.0.${k}:4000` })
      })
  }

  #suspect(at: number, node: string, suspect: string, reason: string): void {
    const { script } = this
    this.#at(at, () => {
      const by = script.note(at, node, "MemberSuspect", { node: suspect }, script.timer(at, node))
      for (const other of NAMES) if (other !== node) this.#send(node, other, "Ping Claims", by)
      this.#at(at + 3_000, () => {
        if (this.#down.has(node)) return
        const due = script.timer(at + 3_000, node, by)
        const data = { node: suspect, reason }
        const down = script.note(at + 3_000, node, "MemberDown", data, due)
        for (const other of NAMES) if (other !== node) this.#send(node, other, "Claims", down)
        const nodes = NAMES.filter((name) => name !== suspect)
        script.note(at + 3_000, node, "RingChanged", { nodes }, down)
      })
    })
  }

  #crash(from: number, to: number): void {
    const { script } = this
    this.#at(from, () => {
      script.fault(from, "begin", 1, "crash g", "g")
      script.life(from, "g", "crash")
      this.#down.add("g")
    })
    this.#suspect(from + 1_050, "f", "g", "refused")
    this.#at(to, () => {
      this.#down.delete("g")
      script.fault(to, "end", 1, "crash g", "g")
      const up = script.life(to, "g", "start")
      for (const other of ["a", "c", "f"]) this.#send("g", other, "Hello", up)
      this.#probe("g", up)
    })
  }

  #clog(from: number, to: number): void {
    const { script } = this
    this.#at(from, () => {
      this.#clogged = true
      script.fault(from, "begin", 3, "clog c–f", "c f")
      for (let k = 0; k < 4; k++)
        this.#at(from + 50 + 90 * k, () => this.#send("c", "f", "Ops", undefined))
    })
    this.#at(to, () => {
      this.#clogged = false
      script.fault(to, "end", 3, "clog c–f", "c f")
      this.#release((to) => to === "f" || to === "c")
    })
  }

  #release(which: (to: string) => boolean): void {
    for (const { packet, to } of this.#waiting.splice(0)) {
      if (!which(to) || this.#cut) this.#waiting.push({ packet, to })
      else {
        const at = this.#now + 5 + this.#below(20)
        this.#at(at, () => void this.script.receive(at, packet, to))
      }
    }
  }

  // --- traffic -----------------------------------------------------------------------------------

  #probe(node: string, by: number | undefined): void {
    if (this.#down.has(node)) return
    const timer = this.script.timer(this.#now, node, by)
    const other = NAMES[this.#below(NAMES.length)] as string
    if (other !== node) this.#send(node, other, "Ping", timer)
    this.#at(this.#now + 80 + this.#below(60), () => this.#probe(node, timer))
  }

  #register(node: string, k: number): void {
    if (this.#down.has(node)) return
    const { script } = this
    const call = script.operation(this.#now, node, k, "call", `${node}: register cart-${k}`)
    const owner = NAMES[(k * 5 + 1) % NAMES.length] as string
    if (owner !== node) this.#send(node, owner, "Reserve", call)
    const lost = this.#down.has(owner) || (this.#cut && SIDE.has(node) !== SIDE.has(owner))
    const at = this.#now + (lost ? 2_000 : 24)
    const phase = lost ? "fail" : "ok"
    if (k === 7) return
    this.#at(at, () => {
      const what = `${node}: register cart-${k}${lost ? ": timed out" : ""}`
      script.operation(at, node, k, phase, what, call)
    })
  }

  #own(node: string, by: number | undefined): void {
    const { script } = this
    const timer = script.timer(this.#now, node, by)
    const started = script.note(this.#now, node, "ProcessStarted", { process: "cart-17" }, timer)
    for (const other of NAMES) if (other !== node) this.#send(node, other, "Ops", started)
    this.#last = started
  }

  #send(from: string, to: string, what: string, by: number | undefined): void {
    const { script } = this
    const packet = script.send(this.#now, from, to, what, by)
    const at = this.#now + 1 + this.#below(12)
    const blocked = this.#cut && SIDE.has(from) !== SIDE.has(to)
    const clogged = this.#clogged && [from, to].sort().join("") === "cf"
    this.#at(at, () => {
      if (blocked || clogged) {
        const kept = clogged || (what !== "Ping" && this.#below(3) === 0)
        if (!kept) return void script.drop(at, packet, "wall")
        script.hold(at, packet, clogged ? "clog" : "wall")
        this.#waiting.push({ packet, to })
      } else if (this.#down.has(to)) script.drop(at, packet, "dead")
      else if (this.#below(60) === 0) script.drop(at, packet, "lost")
      else {
        const here = script.receive(at, packet, to)
        if (what === "Ping") this.#send(to, from, "Ack", here)
        if (what === "Claims") this.#last = here
      }
    })
  }
}

/** Texts that would do harm on a page or a terminal. */
export const hostile: fc.Arbitrary<string> = fc
  .array(
    fc.oneof(
      fc.constantFrom("<script>", "</script>", "<img src=x onerror=alert(1)>", "</title>", "<!--"),
      fc.constantFrom(
        '"',
        "'",
        "&",
        "&lt;",
        "]]>",
        "`",
        ' onload="x',
        "\u0000",
        "\u001b[31m",
        "\u202e",
      ),
      fc.string({ unit: "binary", maxLength: 12 }),
    ),
    { minLength: 1, maxLength: 6 },
  )
  .map((parts) => parts.join(""))

const kinds = [
  ...(["send", "receive", "drop", "hold", "timer", "note", "life"] as const),
  ...(["fault", "operation", "phase", "check"] as const),
]

/** Traces of a few nodes in which anything may follow from anything before. */
export const arbitraryTrace: fc.Arbitrary<Trace> = fc
  .tuple(
    fc.integer({ min: 1, max: 5 }),
    fc.array(
      fc.record({
        kind: fc.constantFrom(...kinds),
        wait: fc.constantFrom(0, 0, 1, 20, 5_000),
        back: fc.integer({ min: 0, max: 8 }),
        node: fc.nat(4),
        other: fc.nat(4),
        number: fc.nat(5),
        what: fc.constantFrom(
          ...[
            "Ping",
            "Ack Claims",
            "start",
            "crash",
            "pause",
            "resume",
            "partition a | b c",
            "reset a–b",
          ],
        ),
        begin: fc.boolean(),
      }),
      { maxLength: 70 },
    ),
  )
  .map(([size, steps]) => {
    const run = new Script("any", NAMES.slice(0, size), 1)
    let now = 0
    for (const { kind, wait, back, node: a, other: b, number, what, begin } of steps) {
      now += wait
      const by = back === 0 || back > run.trace.count ? undefined : run.trace.count - back
      const [node, other] = [a % size, b % size]
      const happening = ((): Happening => {
        switch (kind) {
          case "send":
            return { kind, packet: run.trace.count, from: node, to: other, what, bytes: number }
          case "receive":
            return { kind, packet: by ?? number, node }
          case "drop":
          case "hold":
            return { kind, packet: by ?? number, why: begin ? "wall" : "lost" }
          case "timer":
            return { kind, node }
          case "note":
            return { kind, node, name: what, data: { node: other, reason: what } }
          case "life":
            return { kind, node, what }
          case "fault":
            return {
              ...{ kind, phase: begin ? "begin" : "end", fault: number, what, nodes: [node] },
              ...{ groups: [], momentary: false },
            }
          case "operation":
            return { kind, node, operation: number, phase: begin ? "call" : "ok", what }
          case "phase":
            return { kind, what }
          case "check":
            return { kind, name: what, message: what, nodes: begin ? [node, other] : [] }
        }
      })()
      run.add(now, by, happening)
    }
    return run.trace
  })
