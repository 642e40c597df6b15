import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import { Writer } from "../../src/wire/bytes.ts"
import * as Greeting from "../../src/wire/greeting.ts"
import * as Handshake from "../../src/wire/handshake.ts"
import { joined, pattern, text } from "../transports/side.ts"
import {
  against,
  clock,
  failure,
  framed,
  frames,
  greeting,
  hex,
  identity,
  local,
  memoryPair,
  prove,
  recorded,
  relay,
  settled,
  tampered,
} from "./fixture.ts"

const { KIND } = Greeting

describe("a stranger", () => {
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
})
