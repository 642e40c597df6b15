/** Multicast over real sockets, on this machine's loopback interface alone. */
import assert from "node:assert/strict"
import { createSocket, type Socket } from "node:dgram"
import { describe, test } from "node:test"
import type { Context } from "../../src/discovery/discovery.ts"
import { type MulticastOptions, multicast } from "../../src/discovery/multicast.ts"
import { decode, encode, keyOf, type Packet } from "../../src/discovery/packet.ts"
import { live } from "../../src/runtime/platform.ts"
import { EPOCH_MILLIS, type Kept, keep, last, machine } from "./fake.ts"

const GROUP = "239.255.115.107"
const LOOPBACK = "127.0.0.1"
const COOKIE = "a secret"
const KEY = keyOf(COOKIE)
/** Longer than any test: what happens doesn't happen because a period is over. */
const NEVER = 3_000_000

/** A socket that hears and says everything: somebody without our code. */
interface Stranger {
  readonly port: number
  /** All bytes that were sent to the group, those of this one included. */
  readonly heard: ReadonlyArray<Uint8Array>
  send(bytes: Uint8Array): void
  /** Resolves once `met` holds of what was heard. */
  until(met: (heard: ReadonlyArray<Uint8Array>) => boolean): Promise<void>
}

/** What a test has: a group that nobody else uses, and everything closed at its end. */
interface Scene {
  readonly stranger: Stranger
  /** A node that has started to look, with its context. */
  node(name: string, options?: MulticastOptions, context?: Partial<Context>): Kept
}

async function scene(body: (scene: Scene) => Promise<void>): Promise<void> {
  const { socket, stranger } = await listen()
  const contexts: Array<Kept> = []
  const node: Scene["node"] = (name, options = {}, context = {}) => {
    const { port } = stranger
    const given = { node: name, address: addressOf(name), cookie: COOKIE, ...context }
    const kept = keep(live, given)
    contexts.push(kept)
    const settings = { interface: LOOPBACK, port, periodMillis: NEVER, ...options }
    multicast(settings).start(kept)
    return kept
  }
  try {
    if (await carried(stranger)) await body({ stranger, node })
  } finally {
    for (const context of contexts) context.abort()
    socket.close()
  }
}

const addressOf = (name: string): string => `${name}.example.org:7001`

/** Whether this machine carries multicast on its loopback interface; says so loudly if not. */
async function carried(stranger: Stranger): Promise<boolean> {
  const probe = new Uint8Array([1, 2, 3])
  // Silence is the only sign that it doesn't.
  const silent = new Promise<"silent">((resolve) => {
    setTimeout(() => resolve("silent"), 5_000).unref()
  })
  stranger.send(probe)
  const heard = stranger.until((all) => all.length > 0).then(() => "heard" as const)
  if ((await Promise.race([heard, silent])) === "heard") return true
  console.warn("skipped: this machine carries no multicast on its loopback interface")
  return false
}

async function listen(): Promise<{ socket: Socket; stranger: Stranger }> {
  const socket = createSocket({ type: "udp4", reuseAddr: true })
  const port = await free()
  await new Promise<void>((resolve) => socket.bind({ port, exclusive: true }, resolve))
  socket.addMembership(GROUP, LOOPBACK)
  socket.setMulticastInterface(LOOPBACK)
  const heard: Array<Uint8Array> = []
  const watchers = new Set<() => void>()
  socket.on("message", (bytes) => {
    heard.push(bytes)
    for (const look of watchers) look()
  })
  const stranger: Stranger = {
    port,
    heard,
    send: (bytes) => socket.send(bytes, port, GROUP),
    until: (met) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (!met(heard)) return
          watchers.delete(look)
          resolve()
        }
        watchers.add(look)
        look()
      }),
  }
  return { socket, stranger }
}

/** A UDP port that nobody uses: each test has its own, as others run beside it. */
function free(): Promise<number> {
  const socket = createSocket("udp4")
  return new Promise((resolve) => {
    socket.bind(0, LOOPBACK, () => {
      const { port } = socket.address()
      socket.close(() => resolve(port))
    })
  })
}

/** Whether nobody has bound the port, in whatever way. */
function isFree(port: number): Promise<boolean> {
  const socket = createSocket("udp4")
  return new Promise((resolve) => {
    socket.once("error", () => socket.close(() => resolve(false)))
    socket.bind(port, () => socket.close(() => resolve(true)))
  })
}

const finds = (context: Kept, ...names: ReadonlyArray<string>): Promise<void> => {
  const wanted = JSON.stringify(names.map(addressOf))
  return context.until((kept) => JSON.stringify(last(kept) ?? []) === wanted)
}

/** What a well-behaved node would say now, but for what is given. */
function packet(given: Partial<Packet> = {}): Packet {
  return {
    id: "0123456789abcdef",
    stamp: Date.now(),
    lastsMillis: NEVER,
    node: "z",
    address: addressOf("z"),
    ...given,
  }
}

const sealed = (given: Partial<Packet> = {}): Uint8Array => encode(packet(given), "skein", KEY)

/** The packets of a node, as a member of its cluster hears them. */
function packetsOf(name: string, heard: ReadonlyArray<Uint8Array>): ReadonlyArray<Packet> {
  return heard
    .map((bytes) => decode(bytes, "skein", KEY))
    .filter((each): each is Packet => typeof each !== "string" && each.node === name)
}

describe("nodes of one group", () => {
  test("find each other at once, whoever came first, and never themselves", () =>
    scene(async ({ node }) => {
      const a = node("a")
      const b = node("b")
      await Promise.all([finds(a, "b"), finds(b, "a")])
      const c = node("c")
      await Promise.all([finds(a, "b", "c"), finds(b, "a", "c"), finds(c, "a", "b")])
      for (const { failures, reasons } of [a, b, c]) {
        assert.deepEqual(failures, [])
        // All but the probe of this test, which is no packet.
        assert.deepEqual(
          reasons.filter((reason) => reason !== "malformed"),
          [],
        )
      }
    }))

  test("need no cookie where none is needed", () =>
    scene(async ({ node }) => {
      const a = node("a", {}, { cookie: undefined })
      const b = node("b", {}, { cookie: undefined })
      await Promise.all([finds(a, "b"), finds(b, "a")])
    }))

  test("announce themselves again after a share of their period", () =>
    scene(async ({ node, stranger }) => {
      // A clock that is set back all the time, which nobody else should see.
      let wall = Date.now()
      const setBack = (): number => {
        wall -= 10
        return wall
      }
      node("a", { periodMillis: 20 }, { wall: setBack })
      await stranger.until((heard) => packetsOf("a", heard).length >= 5)
      const packets = packetsOf("a", stranger.heard)
      assert.equal(new Set(packets.map(({ id }) => id)).size, 1)
      for (const [i, { stamp }] of packets.slice(1).entries()) {
        assert.ok(stamp > (packets[i]?.stamp ?? 0), "later packets have later stamps")
      }
    }))

  test("are forgotten after three of their periods without a packet", () =>
    scene(async ({ node, stranger }) => {
      const { platform, advance } = machine()
      const time = { now: platform.now, wall: platform.wall, timer: platform.timer }
      const a = node("a", { periodMillis: 1_000 }, time)
      const stamp = EPOCH_MILLIS
      stranger.send(sealed({ stamp, lastsMillis: 6_000 }))
      await finds(a, "z")
      await advance(4_000)
      stranger.send(
        sealed({
          stamp: stamp + 1,
          lastsMillis: 6_000,
          id: "00000000000000ff",
          address: addressOf("y"),
        }),
      )
      await finds(a, "y", "z")
      await advance(1_999)
      assert.equal(last(a)?.length, 2)
      await advance(1_001)
      await finds(a, "y")
    }))

  test("are dialled where their packet came from if they call themselves everywhere", () =>
    scene(async ({ node }) => {
      const a = node("a", {}, { address: "0.0.0.0:7001" })
      const b = node("b", {}, { address: "0.0.0.0:7002" })
      await a.until((kept) => last(kept)?.join() === "127.0.0.1:7002")
      await b.until((kept) => last(kept)?.join() === "127.0.0.1:7001")
    }))

  test("are heard no more, and don't speak, once the signal has aborted", () =>
    scene(async ({ node, stranger }) => {
      const a = node("a", { periodMillis: 5 })
      await stranger.until((heard) => packetsOf("a", heard).length > 0)
      a.abort()
      // What is on its way is there once a packet that was sent later is.
      stranger.send(sealed())
      await stranger.until((heard) => packetsOf("z", heard).length > 0)
      const before = packetsOf("a", stranger.heard).length
      const b = node("b", { periodMillis: 5 })
      await stranger.until((heard) => packetsOf("b", heard).length >= 10)
      assert.equal(packetsOf("a", stranger.heard).length, before)
      assert.deepEqual(a.lists, [])
      assert.deepEqual(b.lists, [])
    }))

  test("let go of their port once the signal has aborted", () =>
    scene(async ({ node }) => {
      const port = await free()
      const a = node("a", { port })
      const b = node("b", { port })
      await Promise.all([finds(a, "b"), finds(b, "a")])
      a.abort()
      b.abort()
      // Some systems take a moment.
      while (!(await isFree(port))) await new Promise((resolve) => setImmediate(resolve))
    }))

  test("don't report themselves when an earlier run of theirs is still heard", () =>
    scene(async ({ node, stranger }) => {
      const a = node("a")
      await stranger.until((heard) => packetsOf("a", heard).length > 0)
      stranger.send(sealed({ id: "0000000000000001", node: "a", address: addressOf("a") }))
      stranger.send(sealed())
      await finds(a, "z")
      assert.deepEqual(a.lists, [[addressOf("z")]])
    }))

  test("answer a newcomer in time, however many come after it", () =>
    scene(async ({ node, stranger }) => {
      const { platform, advance } = machine()
      const { now, wall, timer } = platform
      const a = node("a", {}, { now, wall, timer, random: () => 0.999 })
      await stranger.until((heard) => packetsOf("a", heard).length === 1)
      await advance(1_000)
      const newcomer = (id: string, name: string): void =>
        stranger.send(sealed({ id, stamp: wall(), address: addressOf(name) }))
      newcomer("0000000000000001", "b")
      await finds(a, "b")
      await advance(150)
      newcomer("0000000000000002", "c")
      await finds(a, "b", "c")
      await advance(50)
      await stranger.until((heard) => packetsOf("a", heard).length === 2)
    }))

  test("answer newcomers, but not each one apart", () =>
    scene(async ({ node, stranger }) => {
      node("a")
      for (let i = 0; i < 20; i++) {
        const name = `n${i}`
        const id = (0x1000 + i).toString(16).padStart(16, "0")
        stranger.send(sealed({ id, node: name, address: addressOf(name) }))
      }
      await stranger.until((heard) => packetsOf("a", heard).length >= 2)
      // A newcomer after the answer waits for the next one.
      stranger.send(sealed())
      await stranger.until((heard) => packetsOf("a", heard).length >= 3)
      const stamps = packetsOf("a", stranger.heard).map(({ stamp }) => stamp)
      for (const [i, stamp] of stamps.slice(1).entries()) {
        const gap = stamp - (stamps[i] ?? 0)
        assert.ok(gap >= 450, `two packets within ${gap} ms`)
      }
    }))
})

describe("packets that are not for a node", () => {
  const cases: ReadonlyArray<readonly [name: string, reason: string, bytes: () => Uint8Array]> = [
    ["of another cluster", "cluster", () => encode(packet(), "other", KEY)],
    ["sealed with another cookie", "forged", () => encode(packet(), "skein", keyOf("guessed"))],
    ["without a seal", "forged", () => encode(packet(), "skein", undefined)],
    ["of another version", "version", () => sealed().with(4, 9)],
    ["too large", "oversize", () => new Uint8Array(1_025)],
    ["cut", "malformed", () => sealed().slice(0, 40)],
    [
      "of a clock that is ten minutes behind",
      "stale",
      () => sealed({ stamp: Date.now() - 600_000 }),
    ],
    [
      "of a clock that is ten minutes ahead",
      "stale",
      () => sealed({ stamp: Date.now() + 600_000 }),
    ],
  ]
  for (const [name, reason, bytes] of cases) {
    test(`${name} are counted as ${reason}, and nobody is found`, () =>
      scene(async ({ node, stranger }) => {
        const a = node("a")
        await stranger.until((heard) => packetsOf("a", heard).length > 0)
        stranger.send(bytes())
        await a.until(({ reasons }) => reasons.includes(reason))
        assert.deepEqual(a.lists, [])
        assert.deepEqual(a.failures, [])
      }))
  }

  test("as they are sealed and it has no cookie are counted", () =>
    scene(async ({ node, stranger }) => {
      const a = node("a", {}, { cookie: undefined })
      await stranger.until((heard) => heard.length > 1)
      stranger.send(sealed())
      await a.until(({ reasons }) => reasons.includes("sealed"))
      assert.deepEqual(a.lists, [])
    }))

  test("as it has had them already are counted, and don't keep an address for longer", () =>
    scene(async ({ node, stranger }) => {
      const { platform, advance } = machine()
      const time = { now: platform.now, wall: platform.wall, timer: platform.timer }
      const a = node("a", { periodMillis: 1_000 }, time)
      const bytes = sealed({ stamp: EPOCH_MILLIS, lastsMillis: 5_000 })
      stranger.send(bytes)
      await finds(a, "z")
      await advance(4_000)
      stranger.send(bytes)
      await a.until(({ reasons }) => reasons.includes("replayed"))
      await advance(2_000)
      assert.deepEqual(last(a), [])
      // It may be repeated to whoever has forgotten it for as long as clocks may differ.
      stranger.send(bytes)
      await finds(a, "z")
      await advance(300_000)
      assert.deepEqual(last(a), [])
      stranger.send(bytes)
      await a.until(({ reasons }) => reasons.includes("stale"))
      assert.deepEqual(last(a), [])
    }))

  test("as it knows too many nodes already are counted", () =>
    scene(async ({ node, stranger }) => {
      const a = node("a")
      const send = (i: number): void =>
        stranger.send(sealed({ id: i.toString(16).padStart(16, "0"), address: `n${i}:7001` }))
      for (let i = 1; i <= 1_024; i++) {
        send(i)
        await a.until((kept) => last(kept)?.length === i)
      }
      send(1_025)
      await a.until(({ reasons }) => reasons.includes("full"))
      assert.equal(last(a)?.length, 1_024)
    }))
})

describe("a network that fails", () => {
  test("is reported and tried again until it is there", () =>
    scene(async ({ node }) => {
      const port = await free()
      const holder = createSocket("udp4")
      await new Promise<void>((resolve) => holder.bind(port, resolve))
      const a = node("a", { port, periodMillis: 20 })
      await a.until(({ failures }) => failures.length >= 2)
      assert.match(a.failures[0] ?? "", /EADDRINUSE/)
      await new Promise<void>((resolve) => holder.close(() => resolve()))
      const b = node("b", { port, periodMillis: 20 })
      await Promise.all([finds(a, "b"), finds(b, "a")])
    }))

  test("is given up once the signal has aborted", () =>
    scene(async ({ node }) => {
      const { platform, advance, timers } = machine()
      const { timer } = platform
      const a = node("a", { interface: "192.0.2.77" }, { timer })
      await a.until(({ failures }) => failures.length > 0)
      assert.equal(timers(), 1)
      a.abort()
      await advance(2 * NEVER)
      assert.equal(a.failures.length, 1)
      assert.equal(timers(), 0)
    }))
})

describe("options", () => {
  test("that can't be right are refused", () => {
    const wrong: ReadonlyArray<readonly [MulticastOptions, string]> = [
      [{ group: "10.0.0.1" }, "group"],
      [{ group: "ff02::1" }, "group"],
      [{ interface: "eth0" }, "interface"],
      [{ port: 0 }, "port"],
      [{ ttl: 256 }, "ttl"],
      [{ periodMillis: 0 }, "periodMillis"],
      [{ skewMillis: 0 }, "skewMillis"],
    ]
    for (const [options, name] of wrong) {
      assert.throws(() => multicast(options), new RegExp(`^RangeError: ${name}`))
    }
  })

  test("that make a packet too long are refused when the strategy starts", () => {
    const context = keep(live, { cluster: "x".repeat(1_000) })
    assert.throws(() => multicast().start(context), /^RangeError: .* bytes/)
  })
})
