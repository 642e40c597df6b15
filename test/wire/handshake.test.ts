import assert from "node:assert/strict"
import * as net from "node:net"
import { describe, test } from "node:test"
import type { Transport } from "../../src/transport.ts"
import * as Greeting from "../../src/wire/greeting.ts"
import * as Handshake from "../../src/wire/handshake.ts"
import * as Mac from "../../src/wire/mac.ts"
import { memory, memoryHub } from "../../transports/memory.ts"
import { tcp } from "../../transports/tcp.ts"
import { asText, connect, joined, listen, never, Side, text } from "../transports/side.ts"
import {
  clock,
  crumbs,
  fail,
  failure,
  framed,
  frames,
  greeting,
  header,
  identity,
  local,
  memoryPair,
  proofFrame,
  refusalIn,
  settled,
  succeed,
  talk,
} from "./fixture.ts"

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

describe("the keys of the seals", () => {
  const shaken = async (
    [one, other]: readonly [Transport, Transport],
    cookie: string | undefined = "secret",
  ): Promise<ReadonlyArray<Handshake.Established["keys"]>> => {
    const ends = [other, one]
    await using pair = await connect(
      { transport: () => ends.shift() as Transport },
      { receive: false },
    )
    const [a, b] = await succeed(pair, { ...local("a"), cookie }, { ...local("b"), cookie })
    return [a.keys, b.keys]
  }
  const open = tcp({ port: 0, seal: true })
  const closed = tcp({ port: 0, seal: false })

  test("what one side seals with, the other opens with; each direction and connection has its own", async () => {
    const seen = new Set<string>()
    for (let i = 0; i < 3; i++) {
      const [a, b] = await shaken([open, open])
      assert.ok(a !== undefined && b !== undefined)
      assert.deepEqual(a.out, b.in)
      assert.deepEqual(b.out, a.in)
      assert.equal(a.out.length, 16)
      assert.deepEqual(
        [a.algorithm, b.algorithm],
        Mac.fast() ? ["gmac", "gmac"] : ["siphash", "siphash"],
      )
      seen.add(a.out.join()).add(a.in.join())
    }
    assert.equal(seen.size, 6)
  })

  test("there are none where both ends say that their network is secure, or nothing was proven", async () => {
    assert.deepEqual(await shaken([closed, closed]), [undefined, undefined])
    // (What a secure end says doesn't tell what its host can do.)
    for (const mixed of [
      [open, closed],
      [closed, open],
    ] as const)
      for (const keys of await shaken(mixed)) assert.equal(keys?.algorithm, "siphash")
    const hub = memoryHub()
    assert.deepEqual(await shaken([memory(hub), memory(hub)]), [undefined, undefined])
    const local = tcp({ port: 0 })
    assert.deepEqual(await shaken([local, local]), [undefined, undefined])
    const [a, b] = await shaken([open, open], "")
    assert.ok(a !== undefined && b !== undefined, "an empty cookie is one")
  })
})

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
      const features = ["secure"]
      assert.deepEqual(a.peer, { ...identity("b"), epoch: 2 ** 53 - 1, features })
      assert.deepEqual(b.peer, { ...identity("a"), epoch: 3, features })
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
      const features = ["trace", "secure"]
      assert.deepEqual([a.peer.features, b.peer.features], [features, features])
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

  test("an identity of ours beyond its limits is a bug, and the connection doesn't leak", async () => {
    await using pair = await memoryPair()
    pair.accepted.attach()
    await assert.rejects(Handshake.initiate(pair.dialled.connection, local("no name")), /BUG/)
    await pair.accepted.closed
  })

  test("time that runs out while a proof is checked is up all the same", async () => {
    for (const who of ["a", "b"]) {
      await using pair = await memoryPair()
      const asked: string[] = []
      const side = (name: string): Handshake.Local => {
        const timers = clock()
        // The cookie is looked at for each proof: the dialler's second one is the acceptor's.
        let proofs = name === "a" ? 2 : 1
        return {
          ...local(name),
          timer: timers.timer,
          get cookie() {
            if (name === who && --proofs === 0) timers.fireNow()
            return "secret"
          },
          admit: (peer) => {
            asked.push(peer.name)
            return { _tag: "Admit" }
          },
        }
      }
      const [dialling, responding] = [
        settled(Handshake.initiate(pair.dialled.connection, side("a"))),
        settled(Handshake.respond(pair.accepted.connection, side("b"))),
      ]
      const error = await (who === "a" ? dialling : responding)
      assert.ok(error instanceof Handshake.HandshakeFailed)
      assert.deepEqual([error.reason, error.by], ["timeout", "us"])
      assert.deepEqual(asked, who === "a" ? ["b", "a"] : ["b"])
      await Promise.all([dialling, responding])
    }
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
})
