/**
 * Typed calls and casts to a named process: on another node, over TCP between two OS processes, and on
 * the same node.
 *
 * @module
 */

import { Overloaded, type Ref, startNode } from "../../mod.ts"
import { memory, memoryHub } from "../../transports/memory.ts"
import type { Bench, Case, Context, Result } from "./harness.ts"
import * as Harness from "./harness.ts"
import * as Channel from "./remote/channel.ts"
import { Echo, Idle } from "./remote/processes.ts"
import * as Raw from "./remote/raw.ts"
import { transport } from "./remote/transport.ts"

const TEXT: string = "x".repeat(100)
const TEXT_10KB: string = "x".repeat(10_000)
const RUNS = 5

// --- remote --------------------------------------------------------------------------------------

const RUN_MILLIS = 600
const CASTS = 500_000
const CASTS_PER_TURN = 1000

const remote: Bench = {
  name: "calls-remote",
  cases: {
    "inFlight=1": {
      better: "more",
      peers: { "raw echo": 33_000, Erlang: 16_700, "actor-ts": 14_000, Moleculer: 11_600 },
    },
    "inFlight=16": {
      better: "more",
      peers: { "raw echo": 384_000, Erlang: 40_000, "actor-ts": 40_000, NATS: 34_000 },
    },
    "inFlight=64": {
      better: "more",
      peers: { "raw echo": 1_010_000, Erlang: 44_000, "actor-ts": 43_000, NATS: 48_000 },
    },
    "inFlight=256": {
      better: "more",
      goal: 150_000,
      target: 300_000,
      peers: { "raw echo": 1_820_000, Erlang: 45_000, "actor-ts": 47_000, NATS: 72_000 },
    },
    "payload=10KB": { better: "more", goal: 40_000, peers: { Erlang: 23_000 } },
    cast: { better: "more", goal: 1e6, peers: { Erlang: 300_000, "actor-ts": 120_000 } },
  },
  run: (context) =>
    Channel.withChildren(async (start) => {
      const { echo, counter } = await start("echo").ask<{ echo: number; counter: number }>("open", {
        bytes: CASTS * (TEXT.length + Raw.HEADER_BYTES),
      })
      const server = start("node")
      const address = await server.ask<string>("start", { name: "server", connect: [] })
      const options = {
        name: "client",
        transport: transport(),
        connect: [address],
        cookie: "bench",
      }
      await using node = await startNode(options)
      await server.ask("members", 2)
      await server.ask("quiet")
      const ref = await node.start(Echo, "remote")
      const raw = await Raw.open(echo)
      const results: Array<Result> = []
      for (const inFlight of [1, 16, 64, 256]) {
        context.note(`${inFlight} in flight`)
        results.push(await roundTrips(`inFlight=${inFlight}`, ref, raw, TEXT, inFlight))
      }
      context.note("10 KB, 64 in flight")
      results.push(await roundTrips("payload=10KB", ref, raw, TEXT_10KB, 64))
      context.note(`${CASTS} casts`)
      results.push(await streams(ref, await Raw.open(counter)))
      return results
    }),
}

/** Loops that each call again once they are answered; the baseline alternates with ours. */
async function roundTrips(
  name: string,
  ref: Ref<typeof Echo>,
  raw: Raw.Raw,
  text: string,
  inFlight: number,
): Promise<Result> {
  const bytes = text.length + Raw.HEADER_BYTES
  const runs: Array<number> = []
  const plain: Array<number> = []
  const micros: Array<number> = []
  const plainMicros: Array<number> = []
  for (let i = -1; i < RUNS; i++) {
    const baseline = await raw.echo(bytes, inFlight, RUN_MILLIS)
    const ours = await drive(() => ref.echo(text), inFlight, RUN_MILLIS)
    if (i < 0) continue // The first one warms up.
    runs.push(ours.perSecond)
    micros.push(...ours.micros)
    plain.push(baseline.perSecond)
    plainMicros.push(...baseline.micros)
  }
  const baseline: Harness.Baseline = {
    name: "raw echo, one write per turn",
    median: Harness.median(plain),
    ...(inFlight === 1 ? { p50Micros: Harness.percentile(plainMicros, 0.5) } : {}),
  }
  return Harness.result(name, "calls/s", runs, {
    baseline,
    p50Micros: Harness.percentile(micros, 0.5),
    p99Micros: Harness.percentile(micros, 0.99),
  })
}

/** Calls per second, and how long some of the calls took. */
async function drive(
  call: () => Promise<unknown>,
  inFlight: number,
  millis: number,
): Promise<Raw.Rate> {
  const micros: Array<number> = []
  const begin = performance.now()
  let count = 0
  const loop = async (): Promise<void> => {
    let at = performance.now()
    while (at - begin < millis) {
      await call()
      const now = performance.now()
      // Every 16th of many: enough for a p99, and no load.
      if (inFlight === 1 || count % 16 === 0) micros.push((now - at) * 1000)
      at = now
      count++
    }
  }
  await Promise.all(Array.from({ length: inFlight }, loop))
  return { perSecond: (count * 1000) / (performance.now() - begin), micros }
}

/** Casts that came in, per second, until the receiver has counted all of them. Throws if one is lost. */
async function streams(ref: Ref<typeof Echo>, raw: Raw.Raw): Promise<Result> {
  const bytes = TEXT.length + Raw.HEADER_BYTES
  const plain: Array<number> = []
  let sent = await ref.count()
  const runs = await Harness.repeat(RUNS, async () => {
    plain.push(await raw.stream(CASTS * bytes, bytes, CASTS_PER_TURN * bytes))
    const begin = performance.now()
    for (let i = 0; i < CASTS; ) i += await burst(ref, Math.min(CASTS_PER_TURN, CASTS - i))
    sent += CASTS
    const got = await ref.with({ timeout: 20_000 }).count()
    if (got !== sent) throw new Error(`${sent - got} of ${CASTS} casts were lost`)
    return (CASTS / (performance.now() - begin)) * 1000
  })
  return Harness.result("cast", "casts/s", runs, {
    baseline: { name: "raw stream, one write per turn", median: Harness.median(plain.slice(1)) },
  })
}

/** Sends up to `count` casts, then gives the event loop its turn; how many were taken. */
async function burst(ref: Ref<typeof Echo>, count: number): Promise<number> {
  let taken = 0
  try {
    for (; taken < count; taken++) ref.cast.note(TEXT)
  } catch (error) {
    if (!(error instanceof Overloaded)) throw error
  }
  await new Promise((resolve) => setImmediate(resolve))
  return taken
}

// --- local ---------------------------------------------------------------------------------------

const IN_FLIGHT = 64
const LOCAL_CALLS = 600_000
const EFFECT_CALLS = 200_000
const LOCAL_CASTS = 3_000_000
/** Casts between two looks at whether they were handled; below a mailbox's limit. */
const LOCAL_BURST = 5_000
const IDLE = 50_000

const local: Bench = {
  name: "calls-local",
  cases: {
    call: {
      better: "more",
      goal: 1.5e6,
      target: 3e6,
      peers: { Moleculer: 1e6, "actor-ts": 500_000, Erlang: 440_000, "Effect Cluster": 20_000 },
    },
    cast: { better: "more", goal: 15e6, peers: { "actor-ts": 5e6 } },
    "effect-call": { better: "more", goal: 300_000, peers: { "Effect.runPromise": 310_000 } },
    "idle-process": {
      better: "less",
      goal: 400,
      target: 250,
      peers: { "an async loop": 580, "an Effect fiber and queue": 2800 },
    },
  } satisfies Record<string, Case>,
  async run(context: Context): Promise<ReadonlyArray<Result>> {
    await using node = await startNode({ transport: memory(memoryHub()), processes: [Echo] })
    const ref = await node.start(Echo, "local")
    context.note("calls")
    const call = await alternate("call", "calls/s", RUNS, [
      () => loops(() => ref.echo(TEXT), LOCAL_CALLS),
      () => loops(() => plain.call(TEXT), LOCAL_CALLS),
    ])
    context.note("casts")
    const cast = await alternate("cast", "casts/s", RUNS, [
      () =>
        bursts(
          (text) => ref.cast.note(text),
          () => ref.count(),
        ),
      () =>
        bursts(
          (text) => plain.cast(text),
          () => plain.call(TEXT),
        ),
    ])
    context.note("calls whose handlers return an Effect")
    const effect = await alternate("effect-call", "calls/s", RUNS, [
      () => loops(() => ref.effect(TEXT), EFFECT_CALLS),
      () => loops(() => plain.call(TEXT), EFFECT_CALLS),
    ])
    context.note(`${IDLE} idle processes`)
    return [call, cast, effect, await idle()]
  },
}

/** Ours and the hand-written baseline by turns. */
async function alternate(
  name: string,
  unit: string,
  count: number,
  [ours, baseline]: readonly [() => Promise<number>, () => Promise<number>],
): Promise<Result> {
  const plain: Array<number> = []
  const runs = await Harness.repeat(count, async () => {
    plain.push(await baseline())
    return ours()
  })
  const median = Harness.median(plain.slice(1))
  return Harness.result(name, unit, runs, { baseline: { name: "mailbox and promise", median } })
}

/** Calls per second of {@link IN_FLIGHT} loops. */
async function loops(call: () => Promise<unknown>, count: number): Promise<number> {
  const each = Math.ceil(count / IN_FLIGHT)
  const loop = async (): Promise<void> => {
    for (let i = 0; i < each; i++) await call()
  }
  const begin = performance.now()
  await Promise.all(Array.from({ length: IN_FLIGHT }, loop))
  return ((each * IN_FLIGHT) / (performance.now() - begin)) * 1000
}

/** Casts per second, handled. */
async function bursts(cast: (text: string) => void, done: () => Promise<unknown>): Promise<number> {
  const begin = performance.now()
  for (let i = 0; i < LOCAL_CASTS; i += LOCAL_BURST) {
    for (let j = 0; j < LOCAL_BURST; j++) cast(TEXT)
    await done()
  }
  return (LOCAL_CASTS / (performance.now() - begin)) * 1000
}

interface Letter {
  readonly text: string
  readonly resolve: ((text: string) => void) | undefined
}

/** The least that can be called a process: an array of messages, a promise for each call. */
class Mailbox {
  #letters: Array<Letter> = []
  #woken = false
  handled = 0

  call(text: string): Promise<string> {
    return new Promise((resolve) => this.#push({ text, resolve }))
  }

  cast(text: string): void {
    this.#push({ text, resolve: undefined })
  }

  #push(letter: Letter): void {
    this.#letters.push(letter)
    if (this.#woken) return
    this.#woken = true
    queueMicrotask(this.#handle)
  }

  readonly #handle = (): void => {
    this.#woken = false
    const letters = this.#letters
    this.#letters = []
    for (const { text, resolve } of letters) {
      this.handled++
      resolve?.(text)
    }
  }
}

const plain = new Mailbox()

/**
 * The bytes that one more idle process costs: everything, its name and its entry in the registry
 * included. The baseline is a record with its key in a Map.
 */
async function idle(): Promise<Result> {
  const records: Array<number> = []
  const runs = await Harness.repeat(3, async () => {
    const before = Harness.heapBytes()
    const map = new Map<string, object>()
    for (let i = 0; i < IDLE; i++) map.set(`Idle/${i}`, { key: i, state: undefined })
    records.push((Harness.heapBytes() - before) / map.size)
    map.clear()
    await using node = await startNode({ transport: memory(memoryHub()), processes: [Idle] })
    const empty = Harness.heapBytes()
    for (let i = 0; i < IDLE; i += 1000) {
      const starts = Array.from({ length: 1000 }, (_, j) => node.start(Idle, String(i + j)))
      await Promise.all(starts)
    }
    return (Harness.heapBytes() - empty) / node.count()
  })
  const median = Harness.median(records.slice(1))
  return Harness.result("idle-process", "bytes", runs, { baseline: { name: "a record", median } })
}

/** Between two nodes, and on one. */
export const bench: ReadonlyArray<Bench> = [remote, local]
