import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Writer } from "../../src/wire/bytes.ts"
import * as Greeting from "../../src/wire/greeting.ts"
import * as Handshake from "../../src/wire/handshake.ts"
import { joined, pattern, text } from "../transports/side.ts"
import {
  against,
  frames,
  greeting,
  hex,
  identity,
  local,
  memoryPair,
  proofFrame,
  recorded,
  unchecked,
} from "./fixture.ts"

const { KIND } = Greeting

describe("the frames of the handshake", () => {
  test("frames and proofs are these, to the byte, of nodes on hosts with GMAC", async () => {
    const nonces = [pattern(32, 1), pattern(32, 2)]
    const fixed = { randomBytes: () => nonces.shift()! }
    await using pair = await memoryPair()
    const seen = await recorded(pair, { ...local("a"), ...fixed }, { ...local("b"), ...fixed })
    assert.deepEqual(seen.map(hex), GOLDEN)
  })

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
    for (const part of [{ instance: -1 }, { instance: 2 ** 32 }, { epoch: 1.5 }, { minor: -1 }]) {
      const wrong = { ...identity("a"), ...part }
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
  "0105534b45494e010000000000203c7530bdb71e347886b2b41b91c976720357fb6be8aabd633f262e25125e845504746573740161016100010003613a310104676d6163",
  "0205534b45494e010000000000203c8cdfc762dda36308c128ca8bbdb1e92a5b474e993a69765d97c8e9e1fc1b7c04746573740162016200010003623a310104676d6163",
  "0320ee6c308ddcc5998d4f049024292f3bdbdbccead82bbc713d04910eb91c75b5f8",
  "042001009eb5c84aa96b7d236131fd2769772bcd309be720dc27da9c2de83e7c3946",
]
