import assert from "node:assert/strict"
import { createHmac } from "node:crypto"
import * as net from "node:net"
import { describe, test } from "node:test"
import fc from "fast-check"
import type { Connection, Handlers, Transport } from "../../src/transport.ts"
import { Reader, Writer } from "../../src/wire/bytes.ts"
import * as Greeting from "../../src/wire/greeting.ts"
import * as Handshake from "../../src/wire/handshake.ts"
import { memory, memoryHub } from "../../transports/memory.ts"
import { tcp } from "../../transports/tcp.ts"
import {
  asText,
  connect,
  joined,
  listen,
  never,
  pattern,
  Side,
  text,
} from "../transports/conformance.ts"

const { KIND } = Greeting

const networks: [string, () => () => Transport][] = [
  [
    "memory",
    () => {
      const hub = memoryHub()
      return () => memory(hub)
    },
  ],
  ["tcp", () => () => tcp({ port: 0 })],
]

for (const [name, make] of networks) {
  describe(`the handshake over ${name}`, () => {
    const transport = make()

    test("two members learn who the other is", async () => {
      await using pair = await connect({ transport }, { receive: false })
      const timers = clock()
      const [a, b] = await succeed(
        pair,
        { ...local("a", { epoch: 3 }), timer: timers.timer },
        { ...local("b", { epoch: 2 ** 53 - 1 }), timer: timers.timer },
      )
      assert.equal(timers.pending, 0)
      assert.deepEqual(a.peer, { ...identity("b"), epoch: 2 ** 53 - 1, features: [] })
      assert.deepEqual(b.peer, { ...identity("a"), epoch: 3, features: [] })
      assert.equal(a.rest.length + b.rest.length, 0)
      await talk(a.connection, b.connection)
    })

    test("without cookies on both sides nothing is proven and nothing refused", async () => {
      await using pair = await connect({ transport }, { receive: false })
      const open = { cookie: undefined }
      const [a, b] = await succeed(pair, { ...local("a"), ...open }, { ...local("b"), ...open })
      await talk(a.connection, b.connection)
    })

    for (const [what, one, other] of [
      ["another cookie", "secret", "Secret"],
      ["no cookie here", undefined, "secret"],
      ["no cookie there", "secret", undefined],
      ["an empty cookie against none", "", undefined],
    ] as const) {
      test(`${what}: both sides are told, and nobody is admitted`, async () => {
        await using pair = await connect({ transport }, { receive: false })
        const asked: string[] = []
        const admit = (peer: Handshake.Peer, direction: string): Handshake.Verdict => {
          asked.push(`${peer.name} ${direction}`)
          return { _tag: "Admit" }
        }
        const [a, b] = await fail(
          pair,
          { ...local("a"), cookie: one, admit },
          { ...local("b"), cookie: other, admit },
        )
        assert.deepEqual([a.reason, a.by], ["authentication", "them"])
        assert.deepEqual([b.reason, b.by], ["authentication", "us"])
        assert.deepEqual(asked, ["b out"], "the acceptor asks about proven peers only")
      })
    }

    test("members of another cluster are refused, whatever their cookie", async () => {
      await using pair = await connect({ transport }, { receive: false })
      const [a, b] = await fail(pair, local("a", { cluster: "blue" }), local("b"))
      assert.deepEqual([a.reason, a.by], ["cluster", "them"])
      assert.deepEqual([b.reason, b.by], ["cluster", "us"])
    })

    test("a node that dials itself finds out", async () => {
      await using pair = await connect({ transport }, { receive: false })
      const [a, b] = await fail(pair, local("a"), local("a"))
      assert.deepEqual([a.reason, a.by], ["self", "us"])
      assert.deepEqual([b.reason, b.by], ["self", "them"])
    })

    const refusals: Handshake.Verdict[] = [
      { _tag: "Reject", reason: "name-conflict", epoch: 2 ** 53 - 1, instance: 2 ** 32 - 1 },
      { _tag: "Reject", reason: "superseded", epoch: 77, instance: 0 },
      { _tag: "Reject", reason: "self" },
      { _tag: "Reject", reason: "duplicate" },
      { _tag: "Reject", reason: "full" },
      { _tag: "Reject", reason: "leaving" },
      { _tag: "Reject", reason: "banned" },
    ]
    for (const verdict of refusals) {
      const { reason, epoch, instance } = verdict as Handshake.Verdict & { _tag: "Reject" }
      for (const who of ["dialler", "acceptor"]) {
        test(`the ${who} says ${reason}, and both sides know`, async () => {
          await using pair = await connect({ transport }, { receive: false })
          const refuse = { admit: () => verdict }
          const [dialler, acceptor] = await fail(
            pair,
            { ...local("a"), ...(who === "dialler" ? refuse : {}) },
            { ...local("b"), ...(who === "acceptor" ? refuse : {}) },
          )
          const [us, them] = who === "dialler" ? [dialler, acceptor] : [acceptor, dialler]
          assert.deepEqual([us.reason, us.by], [reason, "us"])
          assert.deepEqual([them.reason, them.by], [reason, "them"])
          for (const error of [us, them]) {
            assert.deepEqual([error.epoch, error.instance], [epoch, instance])
            assert.match(error.message, new RegExp(reason))
          }
        })
      }
    }

    test("the newest minor version that both speak is used, and common features", async () => {
      await using pair = await connect({ transport }, { receive: false })
      const newer = local("a", { minor: 3, features: ["zip", "trace"] })
      const older = local("b", { minor: 1, features: ["trace", "relay"] })
      const [a, b] = await succeed(pair, newer, older)
      assert.deepEqual([a.peer.minor, b.peer.minor], [1, 1])
      assert.deepEqual([a.peer.features, b.peer.features], [["trace"], ["trace"]])
    })

    test("a silent peer is told that its time is up", async () => {
      await using pair = await connect({ transport }, { receive: false })
      const timers = clock()
      const responding = failure(
        Handshake.respond(pair.accepted.connection, { ...local("b"), timer: timers.timer }),
      )
      const stranger = frames(pair.dialled)
      await timers.fire(Handshake.HANDSHAKE_TIMEOUT_MILLIS)
      assert.equal(refusalIn(await stranger.next()).reason, "timeout")
      const error = await responding
      assert.deepEqual([error.reason, error.by], ["timeout", "us"])
      assert.equal(await pair.dialled.closed, "ended")
      assert.equal(timers.pending, 0)
    })

    test("a peer that goes silent after its proof was asked for is given up as well", async () => {
      await using pair = await connect({ transport }, { receive: false })
      const timers = clock()
      const dialling = failure(
        Handshake.initiate(pair.dialled.connection, { ...local("a"), timer: timers.timer }),
      )
      const stranger = frames(pair.accepted)
      await stranger.next()
      stranger.send(greeting(KIND.challenge, identity("b")))
      assert.equal((await stranger.next())[0], KIND.proof)
      await timers.fire(Handshake.HANDSHAKE_TIMEOUT_MILLIS)
      const error = await dialling
      assert.deepEqual([error.reason, error.by], ["timeout", "us"])
      // The acceptor may have answered meanwhile, and would take a refusal for a message.
      await pair.accepted.closed
      assert.equal(pair.accepted.received, stranger.received)
    })

    test("a connection that closes in the middle of a frame ends the handshake", async () => {
      await using pair = await connect({ transport }, { receive: false })
      const responding = failure(Handshake.respond(pair.accepted.connection, local("b")))
      const whole = framed(greeting(KIND.hello, identity("a")))
      pair.dialled.connection.write(whole.slice(0, whole.length - 1))
      pair.dialled.connection.close()
      const error = await responding
      assert.deepEqual([error.reason, error.by], ["closed", "them"])
    })

    test("a frame longer than a handshake needs is refused before it has come", async () => {
      for (const length of [4097, 0xffff_ffff]) {
        await using pair = await connect({ transport }, { receive: false })
        const responding = failure(Handshake.respond(pair.accepted.connection, local("b")))
        const stranger = frames(pair.dialled)
        stranger.connection.write(header(length))
        assert.equal(refusalIn(await stranger.next()).reason, "too-large")
        assert.equal((await responding).reason, "too-large")
      }
    })

    test("while one peer is stuck, another one gets through", async () => {
      const listening = await listen({ transport })
      const { address } = listening.listener
      const stuck = new Side(await transport().dial(address, never))
      stuck.attach()
      const first = await listening.next()
      const timers = clock()
      const held = failure(
        Handshake.respond(first.connection, { ...local("b"), timer: timers.timer }),
      )
      stuck.connection.write(header(100))

      const dialled = await transport().dial(address, never)
      const second = await listening.next()
      const [a, b] = await succeed(
        { dialled: { connection: dialled }, accepted: second },
        local("a"),
        local("b"),
      )
      await talk(a.connection, b.connection)

      await timers.fire(Handshake.HANDSHAKE_TIMEOUT_MILLIS)
      assert.equal((await held).reason, "timeout")
      for (const { connection } of [a, b]) connection.destroy()
      await listening.listener.close()
    })
  })
}

describe("the handshake", () => {
  test("a peer that doesn't hang up after a refusal is cut off", async () => {
    const listening = await listen({ transport: () => tcp({ port: 0 }) })
    const port = Number(listening.listener.address.split(":")[1])
    const raw = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true })
    raw.on("error", () => {})
    raw.resume()
    const closed = new Promise<void>((resolve) => raw.on("close", () => resolve()))
    const side = await listening.next()
    const timers = clock()
    const responding = failure(
      Handshake.respond(side.connection, { ...local("b"), timer: timers.timer }),
    )
    raw.write(framed(new Uint8Array([KIND.proof])))
    await timers.fire(Handshake.FAREWELL_MILLIS)
    assert.equal((await responding).reason, "malformed")
    raw.end()
    await closed
    await listening.listener.close()
  })

  test("it works with bytes coming one at a time", async () => {
    const pipe = crumbs()
    const [a, b] = await Promise.all([
      Handshake.initiate(pipe[0], local("a")),
      Handshake.respond(pipe[1], local("b")),
    ])
    assert.deepEqual([a.peer.name, b.peer.name], ["b", "a"])
  })

  test("bytes that come right behind it belong to the session", async () => {
    await using pair = await memoryPair()
    const initiating = Handshake.initiate(pair.dialled.connection, local("a"))
    const member = frames(pair.accepted)
    const hello = await member.next()
    const challenge = greeting(KIND.challenge, identity("b"))
    member.send(challenge)
    assert.deepEqual(await member.next(), proofFrame(KIND.proof, "dialler", hello, challenge))
    const welcome = framed(proofFrame(KIND.welcome, "acceptor", hello, challenge))
    // One write with the first bytes of the session, and then some more.
    member.connection.write(joined([welcome, text("right behind, ")]))
    member.connection.write(text("a bit later"))
    const { rest, connection } = await initiating
    const next = new Side(connection)
    next.attach()
    member.connection.write(text(" and last"))
    const all = "right behind, a bit later and last"
    const read = asText(joined([rest, await next.bytes(all.length - rest.length)]))
    assert.equal(read, all)
    assert.equal(asText(rest), "right behind, ")
  })

  test("frames and proofs are what they were in the first release", async () => {
    const nonces = [pattern(32, 1), pattern(32, 2)]
    const fixed = { randomBytes: () => nonces.shift()! }
    await using pair = await memoryPair()
    const seen = await recorded(pair, { ...local("a"), ...fixed }, { ...local("b"), ...fixed })
    assert.deepEqual(seen.map(hex), GOLDEN)
  })

  test("an acceptor gives strangers no proof, and never the cookie", async () => {
    await using pair = await memoryPair()
    const [hello, challenge, proof, welcome] = await recorded(pair, local("a"), local("b"))
    const own = Greeting.readGreeting(challenge!)
    assert.ok(typeof own === "object")
    assert.deepEqual(challenge, Greeting.writeGreeting(KIND.challenge, own.identity, own.nonce))
    for (const frame of [hello!, challenge!, proof!, welcome!]) {
      assert.ok(!hex(frame).includes(hex(text("secret"))))
    }
  })

  // --- versions ----------------------------------------------------------------------------------

  test("another major version is told so, whatever its greeting looks like behind that", async () => {
    for (const kind of [KIND.hello, KIND.challenge]) {
      await using pair = await memoryPair()
      const writer = new Writer()
      writer.u8(kind)
      writer.string("SKEIN")
      writer.u16(2)
      writer.raw(pattern(100, 1))
      const error = await against(pair, kind, () => writer.take())
      assert.deepEqual([error.failed.reason, error.failed.by], ["version", "us"])
      assert.equal(error.refusal?.reason, "version")
    }
  })

  test("a peer that has given up our minor version is told so", async () => {
    await using pair = await memoryPair()
    const body = greeting(KIND.hello, { ...identity("a"), minor: 9 })
    // The oldest version that it speaks is behind kind, magic word and major version.
    body[9] = 5
    const { failed, refusal } = await against(pair, KIND.hello, () => body)
    assert.deepEqual([failed.reason, failed.by], ["version", "us"])
    assert.equal(refusal?.reason, "version")
  })

  test("fields that a later minor version adds are allowed, and proven like the rest", async () => {
    await using pair = await memoryPair()
    const responding = Handshake.respond(pair.accepted.connection, local("b"))
    const member = frames(pair.dialled)
    const hello = joined([greeting(KIND.hello, identity("a")), text("more")])
    member.send(hello)
    const challenge = await member.next()
    member.send(proofFrame(KIND.proof, "dialler", hello, challenge))
    assert.equal((await responding).peer.name, "a")
    const welcome = await member.next()
    assert.deepEqual(welcome, proofFrame(KIND.welcome, "acceptor", hello, challenge))
  })

  // --- strangers ---------------------------------------------------------------------------------

  test("no bytes of a stranger are taken for a handshake, and none make it throw", async () => {
    const kind = fc.constantFrom(0, 1, 2, 3, 4, 5, 6, 255)
    const noise = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc
        .tuple(kind, fc.uint8Array({ maxLength: 120 }))
        .map(([first, rest]) => framed(joined([new Uint8Array([first]), rest]))),
      fc.uint8Array({ maxLength: 120 }).map((rest) => {
        const writer = new Writer()
        writer.u8(KIND.hello)
        writer.string("SKEIN")
        writer.u16(1)
        writer.raw(rest)
        return framed(writer.take())
      }),
    )
    await fc.assert(
      fc.asyncProperty(noise, fc.boolean(), async (bytes, dials) => {
        await using pair = await memoryPair()
        const shaking = dials
          ? Handshake.initiate(pair.dialled.connection, local("a"))
          : Handshake.respond(pair.accepted.connection, local("b"))
        const stranger = dials ? pair.accepted : pair.dialled
        stranger.attach()
        stranger.connection.write(bytes)
        stranger.connection.close()
        const error = await failure(shaking)
        assert.ok(["malformed", "too-large", "closed", "version", "cluster"].includes(error.reason))
      }),
      { numRuns: 300 },
    )
  })

  test("one bit changed on the way, anywhere, and the dialler doesn't believe it", async () => {
    const [one, two] = [local("a", { features: ["x"] }), local("b", { features: ["x"] })]
    const lengths = (await recorded(await memoryPair(), one, two)).map((body) => body.length + 4)
    const total = lengths.reduce((sum, length) => sum + length, 0)
    const beforeWelcome = total - lengths[3]!
    await fc.assert(
      fc.asyncProperty(fc.nat(total - 1), fc.nat(7), async (at, bit) => {
        const timers = clock()
        const { timer } = timers
        const ends = tampered(lengths, at, 1 << bit)
        const dialling = settled(Handshake.initiate(ends[0], { ...one, timer }))
        const responding = settled(Handshake.respond(ends[1], { ...two, timer }))
        // A changed length may leave both waiting for each other.
        void timers.fire(Handshake.HANDSHAKE_TIMEOUT_MILLIS, 200)
        assert.ok((await dialling) instanceof Handshake.HandshakeFailed)
        ends[0].destroy()
        const accepted = await responding
        if (at < beforeWelcome) assert.ok(accepted instanceof Handshake.HandshakeFailed)
      }),
      { numRuns: 200 },
    )
  })

  test("identities beyond their limits are malformed", async () => {
    const good = greeting(KIND.hello, identity("a"))
    assert.equal(typeof Greeting.readGreeting(good), "object")
    const bad: Partial<Handshake.Identity>[] = [
      { name: "" },
      { name: "a b" },
      { name: "x".repeat(65) },
      { name: "é" },
      { cluster: "" },
      { cluster: "x".repeat(129) },
      { epoch: 0 },
      { address: "x".repeat(513) },
      { features: [""] },
      { features: ["x".repeat(33)] },
      { features: Array.from({ length: 17 }, () => "x") },
    ]
    for (const part of bad) {
      const wrong = { ...identity("a"), ...part }
      assert.equal(Greeting.readGreeting(unchecked(KIND.hello, wrong)), "malformed")
      assert.throws(() => Greeting.writeGreeting(KIND.hello, wrong, new Uint8Array(32)), /BUG/)
    }
    for (const nonce of [31, 33, 0]) {
      const body = Greeting.writeGreeting(KIND.hello, identity("a"), new Uint8Array(nonce))
      assert.equal(Greeting.readGreeting(body), "malformed")
    }
  })

  test("the largest identity fits into a frame of the handshake", () => {
    const largest = {
      cluster: "\uffff".repeat(128),
      name: "x".repeat(64),
      epoch: 2 ** 53 - 1,
      instance: 2 ** 32 - 1,
      address: "\uffff".repeat(512),
      minor: 0xffff,
      features: Array.from({ length: 16 }, () => "\uffff".repeat(32)),
    }
    const body = greeting(KIND.hello, largest)
    assert.ok(body.length <= 4096)
    const read = Greeting.readGreeting(body)
    assert.ok(typeof read === "object")
    assert.deepEqual(read.identity, largest)
  })

  test("an identity of ours beyond its limits is a bug, and the connection doesn't leak", async () => {
    await using pair = await memoryPair()
    pair.accepted.attach()
    await assert.rejects(Handshake.initiate(pair.dialled.connection, local("no name")), /BUG/)
    await pair.accepted.closed
  })

  test("an `admit` that throws passes its error on, and the connection doesn't leak", async () => {
    await using pair = await memoryPair()
    const broken = (): Handshake.Verdict => {
      throw new Error("broken")
    }
    const responding = Handshake.respond(pair.accepted.connection, { ...local("b"), admit: broken })
    const dialling = failure(Handshake.initiate(pair.dialled.connection, local("a")))
    await assert.rejects(responding, /broken/)
    assert.equal((await dialling).reason, "closed")
  })

  // --- attacks -----------------------------------------------------------------------------------

  test("a dialler's own hello, echoed as a challenge, is recognised", async () => {
    await using pair = await memoryPair()
    const { failed } = await against(pair, KIND.challenge, (hello) => {
      const echo = hello!.slice()
      echo[0] = KIND.challenge
      return echo
    })
    assert.deepEqual([failed.reason, failed.by], ["self", "us"])
  })

  test("a dialler's own proof, echoed as a welcome, proves nothing", async () => {
    await using pair = await memoryPair()
    const dialling = failure(Handshake.initiate(pair.dialled.connection, local("a")))
    const stranger = frames(pair.accepted)
    const hello = await stranger.next()
    const read = Greeting.readGreeting(hello)
    assert.ok(typeof read === "object")
    // With the dialler's own nonce, so that all that differs is who proves.
    stranger.send(Greeting.writeGreeting(KIND.challenge, identity("b"), read.nonce))
    const echo = await stranger.next()
    echo[0] = KIND.welcome
    stranger.send(echo)
    const error = await dialling
    assert.deepEqual([error.reason, error.by], ["authentication", "us"])
  })

  test("a node whose own frames are relayed back to it doesn't take itself for a peer", async () => {
    await using out = await memoryPair()
    await using back = await memoryPair()
    relay(out.accepted.connection, back.dialled.connection)
    const [dialling, responding] = [
      failure(Handshake.initiate(out.dialled.connection, local("a"))),
      failure(Handshake.respond(back.accepted.connection, local("a"))),
    ]
    assert.equal((await dialling).reason, "self")
    assert.equal((await responding).reason, "self")
  })

  test("a recorded handshake is of no use against either side", async () => {
    const record = await recorded(await memoryPair(), local("a"), local("b"))
    const [hello, challenge, proof, welcome] = record

    await using one = await memoryPair()
    const responding = failure(Handshake.respond(one.accepted.connection, local("b")))
    const dialler = frames(one.dialled)
    dialler.send(hello!)
    assert.equal((await dialler.next())[0], KIND.challenge)
    dialler.send(proof!)
    assert.equal((await responding).reason, "authentication")

    await using two = await memoryPair()
    const dialling = failure(Handshake.initiate(two.dialled.connection, local("a")))
    const acceptor = frames(two.accepted)
    await acceptor.next()
    acceptor.send(challenge!)
    assert.equal((await acceptor.next())[0], KIND.proof)
    acceptor.send(welcome!)
    assert.equal((await dialling).reason, "authentication")
  })

  test("a stranger's refusal never makes a node believe that its name is taken", async () => {
    const refusal = (reason: Handshake.Rejection): Uint8Array => {
      const named = { reason, detail: "go away", epoch: 2 ** 53 - 1, instance: 1 }
      return Greeting.sealRefusal(Greeting.writeRefusal(named), pattern(32, 1))
    }
    const acts: Handshake.Rejection[] = [
      "name-conflict",
      "superseded",
      "self",
      "duplicate",
      "leaving",
      "banned",
    ]
    for (const reason of acts) {
      await using one = await memoryPair()
      const { failed: atOnce } = await against(one, KIND.challenge, () => refusal(reason))
      await using two = await memoryPair()
      const dialling = failure(Handshake.initiate(two.dialled.connection, local("a")))
      const acceptor = frames(two.accepted)
      await acceptor.next()
      acceptor.send(greeting(KIND.challenge, identity("b")))
      await acceptor.next()
      acceptor.send(refusal(reason))
      await using three = await memoryPair()
      const responding = failure(Handshake.respond(three.accepted.connection, local("b")))
      const dialler = frames(three.dialled)
      dialler.send(greeting(KIND.hello, identity("a")))
      await dialler.next()
      dialler.send(refusal(reason))
      for (const error of [atOnce, await dialling, await responding]) {
        assert.deepEqual([error.reason, error.by], ["authentication", "them"])
        assert.deepEqual([error.epoch, error.instance], [undefined, undefined])
      }
    }
  })

  test("a proven refusal can't be passed off as one about somebody else", async () => {
    await using pair = await memoryPair()
    const dialling = failure(Handshake.initiate(pair.dialled.connection, local("a")))
    const acceptor = frames(pair.accepted)
    const hello = await acceptor.next()
    const challenge = greeting(KIND.challenge, identity("b"))
    acceptor.send(challenge)
    await acceptor.next()
    const refusal = { reason: "superseded", detail: "", epoch: 5, instance: 6 } as const
    const covered = Greeting.writeRefusal(refusal)
    const proof = prove("acceptor refuses", hello, challenge, covered)
    const other = Greeting.writeRefusal({ ...refusal, epoch: 2 ** 53 - 1 })
    acceptor.send(Greeting.sealRefusal(other, proof))
    assert.equal((await dialling).reason, "authentication")
  })

  test("a stranger's words are made fit for a log", async () => {
    await using pair = await memoryPair()
    const detail = "\u001b[31mred\nline\u202e"
    const refusal = { reason: "full", detail, epoch: undefined, instance: undefined } as const
    const covered = Greeting.writeRefusal(refusal)
    const sealed = Greeting.sealRefusal(covered, new Uint8Array(32))
    const { failed } = await against(pair, KIND.challenge, () => sealed)
    assert.equal(failed.detail, "?[31mred?line?")
    assert.equal(failed.reason, "full")
  })
})

/** What four frames were on the day they were defined. */
const GOLDEN: string[] = [
  "0105534b45494e010000000000203c7530bdb71e347886b2b41b91c976720357fb6be8aabd633f262e25125e845504746573740161016100010003613a3100",
  "0205534b45494e010000000000203c8cdfc762dda36308c128ca8bbdb1e92a5b474e993a69765d97c8e9e1fc1b7c04746573740162016200010003623a3100",
  "03202becf0a203f1d98bbbec60a750062fdc4a51d898b16807f870c91ffaa31439b0",
  "0420f4fe13aae3053d5c87ef359625a1d1074115e21cbcd69fae71e654bab5986a84",
]

// --- sides -----------------------------------------------------------------------------------------

function identity(name: string): Handshake.Identity {
  const instance = name.length * 65_536 + name.charCodeAt(0)
  return { cluster: "test", name, epoch: 1, instance, address: `${name}:1`, minor: 0 }
}

function local(name: string, part: Partial<Handshake.Identity> = {}): Handshake.Local {
  return {
    identity: { ...identity(name), ...part },
    cookie: "secret",
    admit: () => ({ _tag: "Admit" }),
    timer: clock().timer,
    randomBytes: (count) => crypto.getRandomValues(new Uint8Array(count)),
  }
}

/** Timers that fire when a test says so. */
function clock(): {
  readonly timer: Handshake.Local["timer"]
  readonly pending: number
  /** Fires the timers of that length, when there is one, or after some turns whatever there is. */
  fire(millis: number, turns?: number): Promise<void>
} {
  const timers = new Map<symbol, { millis: number; f: () => void }>()
  return {
    timer: (millis, f) => {
      const id = Symbol()
      timers.set(id, { millis, f })
      return () => void timers.delete(id)
    },
    get pending() {
      return timers.size
    },
    fire: async (millis, turns = 0) => {
      const due = (): boolean => [...timers.values()].some((timer) => timer.millis === millis)
      for (let i = 0; i < turns || !due(); i++) {
        await new Promise((resolve) => setImmediate(resolve))
        if (turns > 0 && timers.size === 0) return
      }
      for (const [id, timer] of [...timers]) {
        if (timer.millis !== millis) continue
        timers.delete(id)
        timer.f()
      }
    },
  }
}

interface Ends {
  readonly dialled: { readonly connection: Connection }
  readonly accepted: { readonly connection: Connection }
}

function memoryPair(): ReturnType<typeof connect> {
  const hub = memoryHub()
  return connect({ transport: () => memory(hub) }, { receive: false })
}

function succeed(
  { dialled, accepted }: Ends,
  a: Handshake.Local,
  b: Handshake.Local,
): Promise<[Handshake.Established, Handshake.Established]> {
  return Promise.all([
    Handshake.initiate(dialled.connection, a),
    Handshake.respond(accepted.connection, b),
  ])
}

async function fail(
  { dialled, accepted }: Ends,
  a: Handshake.Local,
  b: Handshake.Local,
): Promise<[Handshake.HandshakeFailed, Handshake.HandshakeFailed]> {
  const errors = await Promise.all([
    failure(Handshake.initiate(dialled.connection, a)),
    failure(Handshake.respond(accepted.connection, b)),
  ])
  for (const connection of [dialled.connection, accepted.connection]) {
    assert.equal(connection.write(text("x")), false, "the connection is closed")
  }
  return errors
}

async function failure(shaking: Promise<unknown>): Promise<Handshake.HandshakeFailed> {
  const outcome = await settled(shaking)
  assert.ok(outcome instanceof Handshake.HandshakeFailed, String(outcome))
  assert.equal(outcome._tag, "HandshakeFailed")
  return outcome
}

function settled(shaking: Promise<unknown>): Promise<unknown> {
  return shaking.catch((error: unknown) => error)
}

/** Both sides can use the connection. */
async function talk(a: Connection, b: Connection): Promise<void> {
  const [one, two] = [new Side(a), new Side(b)]
  one.attach()
  two.attach()
  a.write(text("ping"))
  b.write(text("pong"))
  assert.equal(asText(await two.bytes(4)), "ping")
  assert.equal(asText(await one.bytes(4)), "pong")
}

/** A stranger that sends one body: for a challenge to a dialler, for a hello to an acceptor. */
async function against(
  pair: { readonly dialled: Side; readonly accepted: Side },
  kind: number,
  body: (hello: Uint8Array | undefined) => Uint8Array,
): Promise<{ failed: Handshake.HandshakeFailed; refusal: Greeting.Refusal | undefined }> {
  const dials = kind === KIND.challenge
  const shaking = failure(
    dials
      ? Handshake.initiate(pair.dialled.connection, local("a"))
      : Handshake.respond(pair.accepted.connection, local("b")),
  )
  const stranger = frames(dials ? pair.accepted : pair.dialled)
  stranger.send(body(dials ? await stranger.next() : undefined))
  const answer = await stranger.next().catch(() => undefined)
  return { failed: await shaking, refusal: answer && refusalIn(answer) }
}

// --- frames ----------------------------------------------------------------------------------------

/** Reads and writes whole frames, without any understanding of them. */
function frames(side: Side): {
  readonly connection: Connection
  readonly received: number
  next(): Promise<Uint8Array>
  send(body: Uint8Array): void
} {
  side.attach()
  let received = 0
  return {
    connection: side.connection,
    get received() {
      return received
    },
    next: async () => {
      const head = await side.bytes(4)
      const length = new DataView(head.buffer, head.byteOffset, 4).getUint32(0, true)
      received += 4 + length
      return side.bytes(length)
    },
    send: (body) => void side.connection.write(framed(body)),
  }
}

function header(length: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, length, true)
  return bytes
}

function framed(body: Uint8Array): Uint8Array {
  return joined([header(body.length), body])
}

function greeting(kind: number, who: Handshake.Identity): Uint8Array {
  return Greeting.writeGreeting(kind, who, pattern(32, who.name.charCodeAt(0)))
}

/** A greeting as somebody writes it who keeps no limits. */
function unchecked(kind: number, who: Handshake.Identity): Uint8Array {
  const writer = new Writer()
  writer.u8(kind)
  writer.string("SKEIN")
  for (const version of [1, 0, who.minor]) writer.u16(version)
  writer.bytes(pattern(32, 1))
  writer.string(who.cluster)
  writer.string(who.name)
  writer.uint(who.epoch)
  writer.u32(who.instance)
  writer.string(who.address)
  writer.u8(who.features?.length ?? 0)
  for (const feature of who.features ?? []) writer.string(feature)
  return writer.take()
}

function refusalIn(body: Uint8Array): Greeting.Refusal {
  assert.equal(body[0], KIND.refusal)
  const read = Greeting.readRefusal(body)
  assert.ok(read !== undefined)
  return read.refusal
}

/** The proof as its definition has it, by another implementation. */
function prove(
  role: string,
  hello: Uint8Array,
  challenge: Uint8Array,
  more: Uint8Array = new Uint8Array(0),
): Uint8Array {
  const writer = new Writer()
  writer.string(`skein 1 ${role}`)
  for (const part of [hello, challenge, more]) writer.bytes(part)
  return new Uint8Array(createHmac("sha256", "\u0001secret").update(writer.take()).digest())
}

function proofFrame(
  kind: number,
  role: string,
  hello: Uint8Array,
  challenge: Uint8Array,
): Uint8Array {
  return Greeting.writeProof(kind, prove(role, hello, challenge))
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")
}

// --- networks --------------------------------------------------------------------------------------

/** The bodies of the four frames of a handshake that succeeds. */
async function recorded(pair: Ends, a: Handshake.Local, b: Handshake.Local): Promise<Uint8Array[]> {
  const sent: Uint8Array[] = []
  const spy = (connection: Connection): Connection => ({
    remote: connection.remote,
    write: (bytes) => {
      const reader = new Reader(bytes, 0, 4)
      assert.equal(reader.u32(), bytes.length - 4)
      sent.push(bytes.slice(4))
      return connection.write(bytes)
    },
    receive: (handlers) => connection.receive(handlers),
    close: () => connection.close(),
    destroy: () => connection.destroy(),
  })
  await Promise.all([
    Handshake.initiate(spy(pair.dialled.connection), a),
    Handshake.respond(spy(pair.accepted.connection), b),
  ])
  assert.equal(sent.length, 4)
  return sent
}

/** Two connected ends that change each chunk on its way with `way`. */
function ends(way: (bytes: Uint8Array) => readonly Uint8Array[]): [Connection, Connection] {
  class Half implements Connection {
    readonly remote = "test"
    other: Half | undefined
    #handlers: Handlers | undefined
    readonly #inbox: Uint8Array[] = []
    #over = false
    #told = false
    write(bytes: Uint8Array): boolean {
      if (this.#over) return false
      this.other!.#inbox.push(...way(bytes))
      this.other!.#schedule()
      return true
    }
    receive(handlers: Handlers | undefined): void {
      this.#handlers = handlers
      this.#schedule()
    }
    close(): void {
      for (const half of [this, this.other!]) {
        half.#over = true
        half.#schedule()
      }
    }
    destroy(): void {
      this.close()
    }
    #schedule(): void {
      queueMicrotask(() => {
        while (this.#handlers !== undefined && this.#inbox.length > 0) {
          this.#handlers.data(this.#inbox.shift()!)
        }
        if (!this.#over || this.#told || this.#handlers === undefined) return
        this.#told = true
        this.#handlers.close("ended")
      })
    }
  }
  const [one, two] = [new Half(), new Half()]
  one.other = two
  two.other = one
  return [one, two]
}

function crumbs(): [Connection, Connection] {
  return ends((bytes) => Array.from(bytes, (byte) => new Uint8Array([byte])))
}

/** A network that changes one byte of all that is sent, counted over both directions. */
function tampered(lengths: readonly number[], at: number, mask: number): [Connection, Connection] {
  let frame = 0
  let start = 0
  return ends((bytes) => {
    const own = bytes.slice()
    const within = at - start
    if (frame < lengths.length && within >= 0 && within < own.length) own[within]! ^= mask
    start += lengths[frame++] ?? 0
    return [own]
  })
}

/** Passes everything on, both ways. */
function relay(a: Connection, b: Connection): void {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    from.receive({
      data: (bytes) => void to.write(bytes),
      drain: () => {},
      close: () => to.close(),
    })
  }
}
